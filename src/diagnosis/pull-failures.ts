// Finds containers whose images cannot be pulled from a registry, and classifies what the kubelet reports. Pure.
import { getWaiting, listContainerStatuses, pullFailures } from '../catch-up/pod-findings.ts';
import { getImageHost, type RegistryResolver } from '../ecr/registry.ts';
import { getField, toText } from '../util/json.ts';

/** What the message of the kubelet says about a failed pull. */
type PullProblem =
  /** The registry got no credentials, or expired ones. */
  | 'unauthenticated'
  /** The registry refused the credentials. */
  | 'refused'
  /** The registry has no such repository or tag. */
  | 'not-found'
  /** The image does not exist for the platform of the node. */
  | 'wrong-platform'
  /** The node cannot reach the registry. */
  | 'unreachable'
  /** The registry limits the rate of requests. */
  | 'throttled'
  /** The message does not say. */
  | 'unknown';

export interface PullFailure {
  readonly image: string;
  readonly host: string;
  readonly problem: PullProblem;
  /** The IAM action that the registry names as not allowed, such as `ecr:BatchGetImage`. */
  readonly action: string | undefined;
}

/** Returns the failures of a pod whose images are in registries that the program handles. */
export function findPullFailures(pod: unknown, resolveRegistry: RegistryResolver): PullFailure[] {
  return listContainerStatuses(pod).flatMap((status) => {
    const waiting = getWaiting(status);
    const image = getField(status, 'image');
    if (!pullFailures.has(getField(waiting, 'reason')) || typeof image !== 'string') {
      return [];
    }
    const host = getImageHost(image);
    const registry = host === undefined ? undefined : resolveRegistry(host);
    return registry === undefined
      ? []
      : [
          {
            image: image.slice(0, maxImageLength),
            host: registry.host,
            ...classifyMessage(toText(getField(waiting, 'message')), image),
          },
        ];
  });
}

/** The longest reference that a registry accepts is shorter. */
const maxImageLength = 512;
/** The kubelet truncates messages, but anyone who may write the status of a pod can store a longer one. */
const maxMessageLength = 4096;

/** In the order in which they are compared. */
const patterns: readonly (readonly [PullProblem, RegExp])[] = [
  ['refused', /not authorized to perform/],
  [
    'unauthenticated',
    /no basic auth credentials|unauthorized|authentication required|authorization token has expired/,
  ],
  ['refused', /\b403\b|forbidden|\bdenied\b/],
  ['throttled', /\b429\b|toomanyrequests|too many requests/],
  ['wrong-platform', /no match for platform|no matching manifest/],
  [
    'unreachable',
    /i\/o timeout|connection refused|no such host|x509|deadline exceeded|network is unreachable|no route to host|connection reset|tls handshake|server misbehaving/,
  ],
  ['not-found', /not found|manifest unknown|name unknown|name_unknown|manifest_unknown|does not exist/],
];

/**
 * Classifies a message of the kubelet. Names of images are left out first, because a repository can be called `denied`.
 * @param image the image that the message is about
 */
export function classifyMessage(message: string, image: string): Pick<PullFailure, 'problem' | 'action'> {
  const text = message
    .slice(0, maxMessageLength)
    .replaceAll(image, '')
    .replace(/"[^"]{0,1024}"/g, '')
    .replace(/https?:\/\/\S+/g, '')
    .toLowerCase();
  const [problem] = patterns.find(([, pattern]) => pattern.test(text)) ?? ['unknown' as const];
  const [, action] =
    /not authorized to perform: (ecr:[A-Za-z]{1,64})/.exec(message.slice(0, maxMessageLength)) ?? [];
  return { problem, action };
}
