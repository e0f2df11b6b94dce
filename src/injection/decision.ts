// Decides whether a pod gets the reference to the pull Secret, and which tokens it needs. Pure.
import type { Config } from '../config/schema.ts';
import { getPodImages, getPodRegistries } from '../ecr/pod-images.ts';
import { getImageHost, isInAccounts, type Registry, type RegistryResolver } from '../ecr/registry.ts';
import { injectAnnotation } from '../labels.ts';
import { matchesAny } from '../util/glob.ts';
import { getField } from '../util/json.ts';
import { createPullSecretPatch, hasReference, type Patch, type PullSecretReference } from './patch.ts';

/** Why the decision was made. Shown in the log and in metrics. */
type DecisionReason =
  | 'not-a-pod'
  | 'unsupported-operation'
  | 'namespace-excluded'
  | 'no-ecr-image'
  | 'account-excluded'
  | 'mirror-pod'
  | 'opted-out'
  | 'no-new-image'
  | 'missing-reference'
  | 'ecr-image'
  | 'already-referenced'
  | 'new-image';

/** The pod needs tokens for these registries. */
export interface EnsureDecision {
  readonly action: 'ensure';
  readonly reason: DecisionReason;
  readonly registries: readonly Registry[];
  /** Undefined if the pod refers to the Secret already, or can no longer be changed. */
  readonly patch: Patch | undefined;
}

/** The pod may be unable to pull its new image, because a reference can no longer be added. */
export interface WarnDecision {
  readonly action: 'warn';
  readonly reason: DecisionReason;
  /** The registries of the new images. */
  readonly registries: readonly Registry[];
}

/** What to do about an admission request. */
export type Decision =
  | EnsureDecision
  | WarnDecision
  | { readonly action: 'skip'; readonly reason: DecisionReason };

/** The request that created or changes a pod. */
export interface PodRequest {
  /** `pods` or `pods/ephemeralcontainers`; requests for other resources are skipped. */
  readonly resource: string;
  readonly operation: string;
  readonly namespace: string;
  /** The pod, unvalidated. */
  readonly object: unknown;
  /** The pod before an update, unvalidated; null for a new pod. */
  readonly oldObject: unknown;
}

export interface DecisionRules {
  /** The reference that pods get. */
  readonly reference: PullSecretReference;
  readonly resolveRegistry: RegistryResolver;
  readonly exclude: { readonly namespaces: readonly string[]; readonly accounts: readonly string[] };
}

/** Marks the API server's copy of a static pod (kubernetes `pkg/kubelet/types/constants.go`). */
const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** The exclusions from admission in the configuration. */
export function getAdmissionExclusions({ exclude }: Pick<Config, 'exclude'>): DecisionRules['exclude'] {
  const { namespaces, admissionNamespaces, accounts } = exclude;
  return { namespaces: [...namespaces, ...admissionNamespaces], accounts };
}

export function decide(request: PodRequest, rules: DecisionRules): Decision {
  const { resource, operation, namespace, object, oldObject } = request;
  if (resource !== 'pods' && resource !== 'pods/ephemeralcontainers') {
    return skip('not-a-pod');
  }
  const isCreate = resource === 'pods' && operation === 'CREATE';
  if (!isCreate && operation !== 'UPDATE') {
    return skip('unsupported-operation');
  }
  if (matchesAny(rules.exclude.namespaces, namespace)) {
    return skip('namespace-excluded');
  }
  const found = getPodRegistries(object, rules.resolveRegistry);
  if (found.length === 0) {
    return skip('no-ecr-image');
  }
  const registries = found.filter((registry) => !isInAccounts(registry, rules.exclude.accounts));
  if (registries.length === 0) {
    return skip('account-excluded');
  }
  return isCreate
    ? decideOnCreate(object, registries, rules)
    : decideOnUpdate(object, oldObject, registries, rules);
}

function decideOnCreate(
  pod: unknown,
  registries: readonly Registry[],
  { reference }: DecisionRules,
): Decision {
  const skipReason = getSkipReason(pod);
  if (skipReason !== undefined) {
    return skip(skipReason);
  }
  const patch = createPullSecretPatch(pod, reference);
  return {
    action: 'ensure',
    reason: patch ? 'ecr-image' : 'already-referenced',
    registries,
    patch,
  };
}

/**
 * After a pod was created, its `imagePullSecrets` cannot change, but its images can: `kubectl debug` adds one, `kubectl set image`
 * changes one. Other updates, such as new labels, need no warning.
 */
function decideOnUpdate(
  pod: unknown,
  oldPod: unknown,
  registries: readonly Registry[],
  { reference }: DecisionRules,
): Decision {
  if (hasReference(pod, reference)) {
    return { action: 'ensure', reason: 'new-image', registries, patch: undefined };
  }
  const skipReason = getSkipReason(pod);
  if (skipReason !== undefined) {
    return skip(skipReason);
  }
  const oldImages = new Set(getPodImages(oldPod));
  const newImages = getPodImages(pod).filter((image) => !oldImages.has(image));
  const hosts = new Set(newImages.map(getImageHost));
  const newRegistries = registries.filter(({ host }) => hosts.has(host));
  return newRegistries.length === 0
    ? skip('no-new-image')
    : { action: 'warn', reason: 'missing-reference', registries: newRegistries };
}

/** Why a pod is skipped regardless of its images; undefined if it is not. */
function getSkipReason(pod: unknown): DecisionReason | undefined {
  const annotations = getField(getField(pod, 'metadata'), 'annotations');
  // The API server rejects mirror pods that refer to Secrets (plugin/pkg/admission/noderestriction).
  if (getField(annotations, mirrorAnnotation) !== undefined) {
    return 'mirror-pod';
  }
  return getField(annotations, injectAnnotation) === 'false' ? 'opted-out' : undefined;
}

function skip(reason: DecisionReason): Decision {
  return { action: 'skip', reason };
}
