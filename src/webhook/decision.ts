import type { Config } from '../config/schema.ts';
import { getPodImages, getPodRegistries } from '../ecr/pod-images.ts';
import { getImageHost, type Registry, type RegistryResolver } from '../ecr/registry.ts';
import { injectAnnotation } from '../labels.ts';
import { matchesAny } from '../util/glob.ts';
import { getField } from '../util/json.ts';
import type { AdmissionRequest } from './admission-request.ts';
import { createPullSecretPatch, hasReference, type Patch, type PullSecretReference } from './patch.ts';

/** Why a review is answered as it is: logged, counted and asserted on. */
type DecisionReason =
  | 'not-a-pod'
  | 'operation'
  | 'namespace-excluded'
  | 'no-ecr-image'
  | 'account-excluded'
  | 'mirror-pod'
  | 'opted-out'
  | 'not-referring'
  | 'reference-missing'
  | 'ecr-image'
  | 'already-referring'
  | 'new-image';

/** The pod needs tokens for these registries. */
export interface EnsureDecision {
  readonly action: 'ensure';
  readonly reason: DecisionReason;
  readonly registries: readonly Registry[];
  /** None where the pod refers to the Secret already, or can no longer be changed. */
  readonly patch: Patch | undefined;
}

/** The pod gets an image that it may be unable to pull, because a reference can no longer be added. */
export interface WarnDecision {
  readonly action: 'warn';
  readonly reason: DecisionReason;
  /** Of the new images. */
  readonly registries: readonly Registry[];
}

/** What to do about a review. */
export type Decision =
  | EnsureDecision
  | WarnDecision
  | { readonly action: 'leave'; readonly reason: DecisionReason };

export interface DecisionRules {
  /** What pods get. */
  readonly reference: PullSecretReference;
  readonly resolveRegistry: RegistryResolver;
  readonly exclude: { readonly namespaces: readonly string[]; readonly accounts: readonly string[] };
}

/** Marks the API server's copy of a static pod (kubernetes `pkg/kubelet/types/constants.go`). */
const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** What an operator excludes from admission: {@link DecisionRules.exclude}. */
export function getAdmissionExclusions({ exclude }: Pick<Config, 'exclude'>): DecisionRules['exclude'] {
  const { namespaces, admissionNamespaces, accounts } = exclude;
  return { namespaces: [...namespaces, ...admissionNamespaces], accounts };
}

/** Decides what a review asks of us. */
export function decide(request: AdmissionRequest, rules: DecisionRules): Decision {
  const { resource, operation, namespace, object, oldObject } = request;
  if (resource !== 'pods' && resource !== 'pods/ephemeralcontainers') {
    return skip('not-a-pod');
  }
  const isCreate = resource === 'pods' && operation === 'CREATE';
  if (!isCreate && operation !== 'UPDATE') {
    return skip('operation');
  }
  if (matchesAny(rules.exclude.namespaces, namespace)) {
    return skip('namespace-excluded');
  }
  const found = getPodRegistries(object, rules.resolveRegistry);
  if (found.length === 0) {
    return skip('no-ecr-image');
  }
  const registries = found.filter(({ account }) => !matchesAny(rules.exclude.accounts, account));
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
    reason: patch ? 'ecr-image' : 'already-referring',
    registries,
    patch,
  };
}

/**
 * `imagePullSecrets` of a pod cannot change any more, its images can: `kubectl debug` adds one, `kubectl set image` changes
 * one. Other updates, such as those of labels by controllers, warrant no warning.
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
    ? skip('not-referring')
    : { action: 'warn', reason: 'reference-missing', registries: newRegistries };
}

/** Why a pod is skipped whatever its images are; undefined: it is not. */
function getSkipReason(pod: unknown): DecisionReason | undefined {
  const annotations = getField(getField(pod, 'metadata'), 'annotations');
  // A mirror pod may not refer to Secrets: the API server would refuse it (plugin/pkg/admission/noderestriction).
  if (getField(annotations, mirrorAnnotation) !== undefined) {
    return 'mirror-pod';
  }
  return getField(annotations, injectAnnotation) === 'false' ? 'opted-out' : undefined;
}

function skip(reason: DecisionReason): Decision {
  return { action: 'leave', reason };
}
