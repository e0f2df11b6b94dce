// Formats what the webhook would do with the pods of a manifest.
import { formatIdentity } from '../diagnosis/host-identity.ts';
import type { ExplainedRegistry, PodExplanation } from '../diagnosis/pod-explanation.ts';

/** A pod of a manifest, and what the webhook would do with it. */
export interface ExplainedPod extends Omit<PodExplanation, 'reason'> {
  /** The reason of the decision, or `namespace-not-selected`. */
  readonly reason: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
}

export interface Explanation {
  readonly pods: readonly ExplainedPod[];
  /** Objects without a pod, such as `Service/cart`. */
  readonly skipped: readonly string[];
  /** What can differ in a cluster, and why. */
  readonly notes: readonly string[];
  /** Always 0, because a pod that is skipped is no failure. */
  readonly failed: 0;
}

export function explanationText({ pods, skipped, notes }: Explanation): string {
  const others = skipped.slice(0, maxNamed).map(toCell).join(', ');
  const more = skipped.length > maxNamed ? ` and ${skipped.length - maxNamed} more` : '';
  return [
    ...pods.map(podText),
    ...(pods.length === 0 ? ['no object in the manifest describes a pod\n'] : []),
    ...(skipped.length === 0 ? [] : [`without a pod: ${others}${more}\n`]),
    ...notes.map((note) => `note: ${note}\n`),
  ].join('\n');
}

/** Objects without a pod that are named. */
const maxNamed = 10;

const actionTexts = {
  inject: 'gets the reference to the pull Secret',
  keep: 'is not changed, and its Secret gets the tokens',
  skip: 'is not changed',
} as const;

function podText(pod: ExplainedPod): string {
  const { kind, namespace, name, action, reason, text, registries, patch, imagePullSecrets } = pod;
  const facts: (readonly [string, string])[] = [
    ['because', `${text} (${reason})`],
    ...registries.map((registry) => ['registry', registryText(registry)] as const),
    ...(patch === undefined ? [] : [['patch', JSON.stringify(patch)] as const]),
    ...(imagePullSecrets.length === 0
      ? []
      : [['imagePullSecrets', imagePullSecrets.map(toCell).join(', ')] as const]),
  ];
  const width = Math.max(...facts.map(([label]) => label.length));
  const lines = facts.map(([label, value]) => `  ${label.padEnd(width)}   ${value}`);
  return `${[`${toCell(kind)} ${toCell(namespace)}/${toCell(name)} ${actionTexts[action]}`, ...lines].join('\n')}\n`;
}

function registryText({ host, isExcluded, identity }: ExplainedRegistry): string {
  if (isExcluded) {
    return `${host}: no token, because exclude.accounts excludes its account`;
  }
  switch (identity.kind) {
    case 'denied':
      return `${host}: no token, because ${identity.rule} denies it`;
    case 'unresolved':
      return `${host}: no token yet, because ${toCell(identity.cause)}`;
    case 'unknown':
      return `${host}: the identity depends on the cluster (${identity.rule})`;
    default:
      return `${host}: token of ${toCell(formatIdentity(identity))}${ruleText(identity)}`;
  }
}

function ruleText(identity: object): string {
  return 'rule' in identity && typeof identity.rule === 'string' ? ` (${identity.rule})` : '';
}

/** A line break in a value does not begin a line. */
function toCell(text: string): string {
  return text.replace(/\s+/g, ' ');
}
