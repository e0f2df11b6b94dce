// Explains what the webhook does with a pod, with the decision of the webhook. Pure.
import type { IdentityResolver } from '../ecr/identity.ts';
import { getPodRegistries } from '../ecr/pod-images.ts';
import { isInAccounts, type Registry } from '../ecr/registry.ts';
import { type Decision, type DecisionRules, decideOnPod } from '../injection/decision.ts';
import type { Patch } from '../injection/patch.ts';
import { getField, getItems } from '../util/json.ts';
import { describeIdentity, type HostIdentity } from './host-identity.ts';

/** What happens to a pod: `inject`: it gets the reference; `keep`: it has the reference already; `skip`: it stays as it is. */
type PodAction = 'inject' | 'keep' | 'skip';

export interface PodExplanation {
  readonly action: PodAction;
  /** The reason in the log and the metrics, such as `ecr-image`. */
  readonly reason: Decision['reason'];
  /** The reason in words: a sentence without a final period. */
  readonly text: string;
  /** The registries of the pod that the program knows, also those for which the pod gets no token. */
  readonly registries: readonly ExplainedRegistry[];
  /** The JSON patch that the webhook returns; undefined: it changes nothing. */
  readonly patch: readonly unknown[] | undefined;
  /** Names in `imagePullSecrets` after the webhook. */
  readonly imagePullSecrets: readonly string[];
}

export interface ExplainedRegistry {
  readonly host: string;
  /** Undefined for the public registry. */
  readonly account: string | undefined;
  readonly region: string;
  /** `exclude.accounts` excludes its account. */
  readonly isExcluded: boolean;
  readonly identity: HostIdentity;
}

/** @param pod as the API server would send it in the request that creates it */
export function explainPod(
  pod: unknown,
  namespace: string,
  rules: DecisionRules,
  resolveIdentity: IdentityResolver,
): PodExplanation {
  const decision = decideOnPod(pod, namespace, rules);
  const patch = decision.action === 'ensure' ? decision.patch : undefined;
  return {
    action: decision.action === 'ensure' ? (patch === undefined ? 'keep' : 'inject') : 'skip',
    reason: decision.reason,
    text: reasonTexts[decision.reason],
    registries: getPodRegistries(pod, rules.resolveRegistry).map((registry) =>
      explainRegistry(registry, namespace, rules, resolveIdentity),
    ),
    patch: patch === undefined ? undefined : decodePatch(patch),
    imagePullSecrets: [...listPullSecrets(pod), ...(patch === undefined ? [] : [rules.reference.secretName])],
  };
}

function explainRegistry(
  registry: Registry,
  namespace: string,
  { exclude }: DecisionRules,
  resolveIdentity: IdentityResolver,
): ExplainedRegistry {
  return {
    host: registry.host,
    account: registry.kind === 'private' ? registry.account : undefined,
    region: registry.region,
    isExcluded: isInAccounts(registry, exclude.accounts),
    identity: describeIdentity(resolveIdentity(namespace, registry)),
  };
}

function decodePatch(patch: Patch): readonly unknown[] {
  return getItems(JSON.parse(atob(patch)));
}

function listPullSecrets(pod: unknown): string[] {
  return getItems(getField(getField(pod, 'spec'), 'imagePullSecrets')).flatMap((reference) => {
    const name = getField(reference, 'name');
    return typeof name === 'string' ? [name] : [];
  });
}

/** The reasons of decisions in words. */
export const reasonTexts: Readonly<Record<Decision['reason'], string>> = {
  'ecr-image': 'it has an image in a registry of Amazon ECR',
  'already-referenced': 'it has an image in a registry of Amazon ECR, and refers to the pull Secret already',
  'no-ecr-image': 'none of its images is in a registry that the program handles',
  'account-excluded': 'exclude.accounts excludes the accounts of all its registries',
  'namespace-excluded': 'exclude.namespaces or exclude.admissionNamespaces excludes its namespace',
  'opted-out': 'it has the annotation ecr-pull-secrets.io/inject=false',
  'mirror-pod': "it is the API server's copy of a static pod",
  'denied-by-rule': 'rules with access: deny deny its namespace the tokens of all its registries',
  'missing-reference': 'its reference can no longer be added',
  'new-image': 'it has the reference, and a new image',
  'no-new-image': 'the update brings no new image',
  'not-a-pod': 'it is not a pod',
  'unsupported-operation': 'the request does not create a pod',
};
