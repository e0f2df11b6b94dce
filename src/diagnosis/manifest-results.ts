// Describes what a registry responded to the request for the manifest of an image. Pure.
import type { ImageReference } from '../ecr/image-reference.ts';
import type { Registry } from '../ecr/registry.ts';
import type { ManifestResult } from '../ecr/registry-manifest.ts';
import type { CheckResult } from './check.ts';
import { skipCheck } from './check-text.ts';
import type { Viewpoint } from './installation.ts';

export interface ManifestFacts {
  readonly image: ImageReference;
  readonly registry: Registry;
  readonly result: ManifestResult;
  /** The platform that is needed; undefined: not known. */
  readonly platform: string | undefined;
  readonly viewpoint: Viewpoint;
  /** Namespace and name of the Secret with the token. */
  readonly secret: string;
}

const check = 'image-manifest';
const refusalPage = 'troubleshooting.md#ecr-refuses-the-pull';
const resultPage = 'how-to/explain-one-pod.md#read-the-result';

/** The actions of IAM that a pull needs (Amazon ECR user guide, "Required permissions for pulling"). */
const pullActions = 'ecr:BatchGetImage and ecr:GetDownloadUrlForLayer';

export function describeManifest(facts: ManifestFacts): CheckResult[] {
  const { image, result, secret } = facts;
  switch (result.outcome) {
    case 'found':
      return describeFound(facts, result);
    case 'denied':
      return [describeDenial(facts, result)];
    case 'expired-token':
      return [
        {
          ...failed(`${image.host} says that the token in Secret ${secret} has expired`),
          meaning: 'The kubelet cannot pull until the Secret holds another token',
          remedy:
            'Check whether another writer edits the Secret, and whether the clock of the program is right',
          page: 'troubleshooting.md#the-token-has-expired',
        },
      ];
    case 'unauthorized':
      return [
        {
          ...failed(`${image.host} does not accept the token in Secret ${secret} (HTTP ${result.status})`),
          meaning: 'The token is not one of this registry, or it was edited',
          remedy:
            'Check whether another writer edits the Secret, and whether hosts maps the host to the right account and region',
          page: refusalPage,
        },
      ];
    case 'repository-unknown':
    case 'manifest-unknown':
      return [describeMissing(facts, result.outcome)];
    case 'throttled':
    case 'server-error':
      return [
        {
          check,
          outcome: 'warning',
          summary: `${image.host} did not return the manifest (HTTP ${result.status})`,
          meaning: 'ECR limits the rate of requests, or has a temporary failure; the kubelet retries',
          remedy: 'Run the command again in a minute',
        },
      ];
    case 'redirected':
    case 'unexpected':
      return [
        {
          ...failed(`the server at ${image.host} does not respond as a registry (HTTP ${result.status})`),
          meaning: 'The request reaches another server than ECR, for example a proxy that requires a login',
          remedy: 'Check DNS, the proxy, and the host in hosts of the configuration',
          page: 'how-to/use-a-proxy.md#check-the-proxy',
        },
      ];
    case 'unreachable':
      return [describeUnreachable(facts, result.failure)];
  }
}

function failed(summary: string): CheckResult {
  return { check, outcome: 'failed', summary };
}

function describeFound(
  { image, platform }: ManifestFacts,
  { digest, platforms, hasPlatform }: Extract<ManifestResult, { outcome: 'found' }>,
): CheckResult[] {
  const by = digest === undefined ? '' : ` (${digest})`;
  const found: CheckResult = {
    check,
    outcome: 'ok',
    summary: `${image.host} returns the manifest of ${nameImage(image)}${by}`,
  };
  if (platform === undefined || platforms === undefined) {
    return [found];
  }
  const list = platforms.join(', ');
  return [
    found,
    hasPlatform === true
      ? { check: 'image-platform', outcome: 'ok', summary: `the image is available for ${platform}` }
      : {
          check: 'image-platform',
          outcome: 'failed',
          summary: `the image is not available for ${platform}, only for ${list || 'no platform'}`,
          meaning: 'The container runtime finds no image for the platform of the node',
          remedy: `Build the image for ${platform} too, or select other nodes with nodeSelector`,
          page: resultPage,
        },
  ];
}

/** `REPOSITORY:TAG` or `REPOSITORY@DIGEST`. */
function nameImage({ repository, reference }: ImageReference): string {
  return `${repository}${reference.startsWith('sha256:') ? '@' : ':'}${reference}`;
}

function describeMissing(
  { image, registry }: ManifestFacts,
  outcome: 'repository-unknown' | 'manifest-unknown',
): CheckResult {
  const { repository, reference } = image;
  const region = `--region ${registry.region}`;
  const id = registry.kind === 'private' ? ` --registry-id ${registry.account}` : '';
  if (outcome === 'repository-unknown') {
    return {
      ...failed(`repository ${repository} does not exist in ${image.host}`),
      meaning: 'The image cannot be pulled with any credentials',
      remedy: `Correct account, region or repository in the image, or create the repository: aws ecr create-repository ${region} --repository-name ${repository}`,
      page: resultPage,
    };
  }
  const isDigest = reference.startsWith('sha256:');
  return {
    ...failed(
      isDigest
        ? `repository ${repository} of ${image.host} has no image ${reference}`
        : `repository ${repository} of ${image.host} has no tag ${reference}`,
    ),
    meaning: 'The image cannot be pulled with any credentials',
    remedy: `Correct the ${isDigest ? 'digest' : 'tag'}, or push the image. To list the images: aws ecr list-images ${region}${id} --repository-name ${repository}`,
    page: resultPage,
  };
}

/** The ARN of the repository; undefined for the public registry. */
function toRepositoryArn({ repository }: ImageReference, registry: Registry): string | undefined {
  return registry.kind === 'private'
    ? `arn:${registry.partition}:ecr:${registry.region}:${registry.account}:repository/${repository}`
    : undefined;
}

function describeDenial(
  { image, registry }: ManifestFacts,
  { principal, action, policy, isExplicit }: Extract<ManifestResult, { outcome: 'denied' }>,
): CheckResult {
  const arn = toRepositoryArn(image, registry) ?? `the public repository ${image.repository}`;
  const caller = principal ?? 'the identity that fetched the token';
  const denied = action === undefined ? 'may not pull from' : `is denied ${action} on`;
  const account = principal?.split(':')[4];
  const isOtherAccount = account !== undefined && registry.kind === 'private' && account !== registry.account;
  return {
    ...failed(`ECR refuses the pull: ${caller} ${denied} ${arn}`),
    meaning: 'The token is valid, but it does not give access to this repository',
    remedy: adviseOnDenial({
      arn,
      caller: nameGrantee(principal) ?? caller,
      policy,
      isExplicit,
      isOtherAccount,
      isKnown: account !== undefined,
    }),
    page: refusalPage,
  };
}

/** Policies name roles, and not their sessions. The ARN of a session lacks the path of its role, so that of the role is not known. */
function nameGrantee(principal: string | undefined): string | undefined {
  const [, account, role] = /^arn:aws[a-z-]*:sts::(\d{12}):assumed-role\/([^/]+)/.exec(principal ?? '') ?? [];
  return role === undefined ? principal : `role ${role} of account ${account}`;
}

interface DenialFacts {
  readonly arn: string;
  readonly caller: string;
  readonly policy: string | undefined;
  readonly isExplicit: boolean;
  /** Whether the repository is in another account than the caller. */
  readonly isOtherAccount: boolean;
  /** Whether the account of the caller is known. */
  readonly isKnown: boolean;
}

function adviseOnDenial({ arn, caller, policy, isExplicit, isOtherAccount, isKnown }: DenialFacts): string {
  if (isExplicit) {
    return `Remove the explicit deny for ${arn} from the ${policy}`;
  }
  const repositoryPolicy = `allow ${pullActions} to ${caller} in the repository policy of ${arn}`;
  if (policy === 'resource-based policy') {
    return `The repository is in another account than the caller: ${repositoryPolicy}`;
  }
  const inPolicy = policy === undefined || policy === 'identity-based policy' ? 'IAM policy' : policy;
  const own = `Allow ${pullActions} on ${arn} in the ${inPolicy} of ${caller}`;
  if (isOtherAccount) {
    return `${own}. The repository is in another account, so also ${repositoryPolicy}`;
  }
  return isKnown ? own : `${own}. If the repository is in another account, also ${repositoryPolicy}`;
}

function describeUnreachable(
  { image, viewpoint }: ManifestFacts,
  { description, advice }: Extract<ManifestResult, { outcome: 'unreachable' }>['failure'],
): CheckResult {
  if (viewpoint === 'outside') {
    return skipCheck(
      check,
      `${image.host} cannot be reached from this machine (${description})`,
      "Run the command in the program's pod with kubectl exec",
    );
  }
  return {
    ...failed(`${image.host} cannot be reached from the program's pod: ${description}`),
    meaning: 'If the nodes have the same connection, they cannot pull either',
    remedy: advice,
    page: 'how-to/use-a-proxy.md',
  };
}
