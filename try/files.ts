// The files that the commands of `npm run try` read: the configuration of the cluster, manifests and the values of the chart.
import { stringify } from 'yaml';
import { Keys } from '../test/doubles/ecr/aws-requests.ts';
import {
  type AwsKeys,
  apiPort,
  programImage,
  registryPort,
  standInCanary,
  standInHost,
  standInImage,
  type TrySettings,
} from './settings.ts';

/** Contents by name, for the folder of the settings. */
export function filesFor({ tool, folder, keys }: TrySettings): Record<string, string> {
  return {
    ...(tool === 'k3d' ? { 'registries.yaml': k3dRegistries() } : kindFiles(folder)),
    'values.yaml': stringify(chartValues(keys)),
    ...(keys === undefined && {
      'stand-in.yaml': formatManifests([...standInObjects(), ...keyObjects(standInKeys())]),
    }),
  };
}

/** The registry of the stand-in takes the place of one host of ECR; all other hosts are those of AWS. */
const registryUrl = `http://127.0.0.1:${registryPort}`;

/** containerd 1 needs the second entry, too. */
const kindHosts = `server = "${registryUrl}"

[host."${registryUrl}"]
  capabilities = ["pull", "resolve"]
`;

function k3dRegistries(): string {
  return stringify({ mirrors: { [standInHost]: { endpoint: [registryUrl] } } });
}

function kindFiles(folder: string): Record<string, string> {
  const cluster = {
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    // The default since kind 0.27.
    containerdConfigPatches: [
      '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n',
    ],
    nodes: [
      {
        role: 'control-plane',
        extraMounts: [
          {
            hostPath: `${folder}/hosts.toml`,
            containerPath: `/etc/containerd/certs.d/${standInHost}/hosts.toml`,
          },
        ],
      },
    ],
  };
  return { 'cluster.yaml': stringify(cluster), 'hosts.toml': kindHosts };
}

function chartValues(keys: AwsKeys | undefined): object {
  const endpoint = { value: `http://ecr-stand-in.ecr-stand-in.svc:${apiPort}` };
  return {
    image: programImage,
    aws: { credentials: { source: 'secret', secret: { name: 'aws' } } },
    ...(keys === undefined && {
      extraEnv: ['ECR', 'STS'].map((service) => ({ name: `AWS_ENDPOINT_URL_${service}`, ...endpoint })),
    }),
  };
}

/** The keys of the first user of the stand-in. They are no secret. */
function standInKeys(): AwsKeys {
  const { accessKeyId, secretAccessKey } = new Keys(standInCanary).root;
  return { accessKeyId, secretAccessKey, sessionToken: undefined };
}

function namespace(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

/** The namespace of the chart, and the Secret in it that the values name. */
export function keyObjects({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys): object[] {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'aws', namespace: 'ecr-pull-secrets' },
    stringData: {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      ...(sessionToken !== undefined && { AWS_SESSION_TOKEN: sessionToken }),
    },
  };
  return [namespace('ecr-pull-secrets'), secret];
}

/** Formats objects as the documents of one file. */
export function formatManifests(objects: readonly object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}

/** The stand-in runs in the network of the node, because the container runtime reaches the registry there on loopback. */
function standInObjects(): object[] {
  const metadata = { name: 'ecr-stand-in', namespace: 'ecr-stand-in' };
  const labels = { app: 'ecr-stand-in' };
  const container = {
    name: 'ecr-stand-in',
    image: standInImage,
    imagePullPolicy: 'IfNotPresent',
    args: ['--api-host=0.0.0.0', `--api-port=${apiPort}`, `--registry-port=${registryPort}`],
    ports: [{ name: 'api', containerPort: apiPort, hostPort: apiPort }],
    readinessProbe: { tcpSocket: { port: 'api' }, periodSeconds: 2 },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  };
  return [
    namespace(metadata.namespace),
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        selector: { matchLabels: labels },
        // Two pods cannot listen on the same ports of a node.
        strategy: { type: 'Recreate' },
        template: {
          metadata: { labels },
          spec: { hostNetwork: true, automountServiceAccountToken: false, containers: [container] },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: [{ name: 'api', port: apiPort, targetPort: 'api' }] },
    },
  ];
}
