// The settings and names of `npm run try`, which all its files share.
import packageJson from '../package.json' with { type: 'json' };

/** What creates the cluster. */
export type ClusterTool = 'k3d' | 'kind';

/** The static keys of the usual AWS variables. */
export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
}

export interface TrySettings {
  readonly tool: ClusterTool;
  /** The absolute path of the folder with the files of {@link filesFor}. */
  readonly folder: string;
  /** Undefined: the ECR stand-in takes the place of AWS. */
  readonly keys: AwsKeys | undefined;
  /** The image of the pod; undefined with keys: no pod is created. */
  readonly image: string | undefined;
  /** Whether an earlier run has created the cluster. */
  readonly hasCluster: boolean;
}

export const clusterName = 'ecr-pull-secrets-try';
/** Names of their own, so that `--delete` removes no other image. */
export const programImage = { repository: clusterName, tag: packageJson.version };
export const standInImage = `${clusterName}-stand-in:${packageJson.version}`;

/** The registry that the stand-in answers for, with an image of it. */
export const standInHost = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
export const standInPodImage = `${standInHost}/shop/cart:1.4`;

/** Begins the keys and tokens of the stand-in. */
export const standInCanary = 'stand-in';

/** Ports on the node. */
export const apiPort = 5080;
export const registryPort = 5081;
