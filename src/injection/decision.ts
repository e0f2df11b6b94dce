// Decides whether a pod gets the reference to the pull Secret, and which tokens it needs. Pure.

import type { Config } from '../config/schema.ts';
import { type DeniedHost, splitDenied } from '../ecr/identity.ts';
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
  | 'new-image'
  | 'denied-by-rule';

/** The pod needs tokens for these registries. */
export interface EnsureDecision {
  readonly action: 'ensure';
  readonly reason: DecisionReason;
  readonly registries: readonly Registry[];
  /** Further registries of the pod. It gets no tokens for them. */
  readonly denied: readonly DeniedHost[];
  /** Undefined if the pod refers to the Secret already, or can no longer be changed. */
  readonly patch: Patch | undefined;
}

/** The pod is admitted unchanged, but may be unable to pull its images. */
export type WarnDecision =
  | {
      readonly action: 'warn';
      /** A reference can no longer be added. */
      readonly reason: 'missing-reference';
      /** The registries of the new images. */
      readonly registries: readonly Registry[];
    }
  | {
      readonly action: 'warn';
      /** The namespace gets no token for any registry of the pod. */
      readonly reason: 'denied-by-rule';
      readonly denied: readonly DeniedHost[];
    };

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
  /** Returns the path of the rule that denies a namespace the tokens of a registry; undefined if none does. */
  findDenyingRule(namespace: string, registry: Registry): string | undefined;
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
    ? decideOnCreate(object, namespace, registries, rules)
    : decideOnUpdate(object, oldObject, namespace, registries, rules);
}

/** Decides about a pod that exists or may exist as about the request that creates it. */
export function decideOnPod(pod: unknown, namespace: string, rules: DecisionRules): Decision {
  const request = { resource: 'pods', operation: 'CREATE', namespace, object: pod, oldObject: null };
  return decide(request, rules);
}

function decideOnCreate(
  pod: unknown,
  namespace: string,
  registries: readonly Registry[],
  rules: DecisionRules,
): Decision {
  const skipReason = getSkipReason(pod);
  if (skipReason !== undefined) {
    return skip(skipReason);
  }
  const { allowed, denied } = splitDenied(registries, (one) => rules.findDenyingRule(namespace, one));
  if (allowed.length === 0) {
    return { action: 'warn', reason: 'denied-by-rule', denied };
  }
  const patch = createPullSecretPatch(pod, rules.reference);
  return {
    action: 'ensure',
    reason: patch ? 'ecr-image' : 'already-referenced',
    registries: allowed,
    denied,
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
  namespace: string,
  registries: readonly Registry[],
  rules: DecisionRules,
): Decision {
  if (hasReference(pod, rules.reference)) {
    const { allowed, denied } = splitDenied(registries, (one) => rules.findDenyingRule(namespace, one));
    return allowed.length === 0
      ? { action: 'warn', reason: 'denied-by-rule', denied }
      : { action: 'ensure', reason: 'new-image', registries: allowed, denied, patch: undefined };
  }
  const skipReason = getSkipReason(pod);
  if (skipReason !== undefined) {
    return skip(skipReason);
  }
  const oldImages = new Set(getPodImages(oldPod));
  const newImages = getPodImages(pod).filter((image) => !oldImages.has(image));
  const hosts = new Set(newImages.map(getImageHost));
  const newRegistries = registries.filter(({ host }) => hosts.has(host));
  if (newRegistries.length === 0) {
    return skip('no-new-image');
  }
  const { allowed, denied } = splitDenied(newRegistries, (one) => rules.findDenyingRule(namespace, one));
  return allowed.length === 0
    ? { action: 'warn', reason: 'denied-by-rule', denied }
    : { action: 'warn', reason: 'missing-reference', registries: allowed };
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
