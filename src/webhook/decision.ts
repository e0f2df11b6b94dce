import type { Config } from '../config/schema.ts';
import { imagesOfPod, registriesOfPod } from '../ecr/pod-images.ts';
import { hostOfImage, type parseEcrHost, type Registry } from '../ecr/registry.ts';
import { injectAnnotation } from '../labels.ts';
import { matchesAny } from '../util/glob.ts';
import { field } from '../util/json.ts';
import type { ReviewRequest } from './admission-request.ts';
import { type Patch, type PullSecretReference, pullSecretPatch, refersTo } from './patch.ts';

/** Why a review is answered as it is: logged, counted and asserted on. */
type Reason =
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
export interface Ensure {
  readonly action: 'ensure';
  readonly reason: Reason;
  readonly registries: readonly Registry[];
  /** None where the pod refers to the Secret already, or can no longer be changed. */
  readonly patch: Patch | undefined;
}

/** The pod gets an image that it may be unable to pull, because a reference can no longer be added. */
export interface Warn {
  readonly action: 'warn';
  readonly reason: Reason;
  /** Of the new images. */
  readonly registries: readonly Registry[];
}

/** What to do about a review. */
export type Decision = Ensure | Warn | { readonly action: 'leave'; readonly reason: Reason };

export interface DecisionRules {
  /** What pods get. */
  readonly reference: PullSecretReference;
  /** Reads a host; parseEcrHost if not given. */
  readonly registryOf?: typeof parseEcrHost;
  readonly exclude: { readonly namespaces: readonly string[]; readonly accounts: readonly string[] };
}

/** Marks the API server's copy of a static pod (kubernetes `pkg/kubelet/types/constants.go`). */
const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** What an operator excludes from admission: {@link DecisionRules.exclude}. */
export function excludedFromAdmission({ exclude }: Pick<Config, 'exclude'>): DecisionRules['exclude'] {
  const { namespaces, admissionNamespaces, accounts } = exclude;
  return { namespaces: [...namespaces, ...admissionNamespaces], accounts };
}

/** Decides what a review asks of us. */
export function decide(request: ReviewRequest, rules: DecisionRules): Decision {
  const { resource, operation, namespace, object, oldObject } = request;
  if (resource !== 'pods' && resource !== 'pods/ephemeralcontainers') {
    return leave('not-a-pod');
  }
  const creating = resource === 'pods' && operation === 'CREATE';
  if (!creating && operation !== 'UPDATE') {
    return leave('operation');
  }
  if (matchesAny(rules.exclude.namespaces, namespace)) {
    return leave('namespace-excluded');
  }
  const found = registriesOfPod(object, rules.registryOf);
  if (found.length === 0) {
    return leave('no-ecr-image');
  }
  const registries = found.filter(({ account }) => !matchesAny(rules.exclude.accounts, account));
  if (registries.length === 0) {
    return leave('account-excluded');
  }
  return creating
    ? decideOnNew(object, registries, rules)
    : decideOnExisting(object, oldObject, registries, rules);
}

function decideOnNew(pod: unknown, registries: readonly Registry[], { reference }: DecisionRules): Decision {
  const exemption = exemptionOf(pod);
  if (exemption !== undefined) {
    return leave(exemption);
  }
  const patch = pullSecretPatch(pod, reference);
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
function decideOnExisting(
  pod: unknown,
  oldPod: unknown,
  registries: readonly Registry[],
  { reference }: DecisionRules,
): Decision {
  if (refersTo(pod, reference)) {
    return { action: 'ensure', reason: 'new-image', registries, patch: undefined };
  }
  const exemption = exemptionOf(pod);
  if (exemption !== undefined) {
    return leave(exemption);
  }
  const before = new Set(imagesOfPod(oldPod));
  const newImages = imagesOfPod(pod).filter((image) => !before.has(image));
  const hosts = new Set(newImages.map(hostOfImage));
  const added = registries.filter(({ host }) => hosts.has(host));
  return added.length === 0
    ? leave('not-referring')
    : { action: 'warn', reason: 'reference-missing', registries: added };
}

/** Why a pod is skipped whatever its images are; undefined: it is not. */
function exemptionOf(pod: unknown): Reason | undefined {
  const annotations = field(field(pod, 'metadata'), 'annotations');
  // A mirror pod may not refer to Secrets: the API server would refuse it (plugin/pkg/admission/noderestriction).
  if (field(annotations, mirrorAnnotation) !== undefined) {
    return 'mirror-pod';
  }
  return field(annotations, injectAnnotation) === 'false' ? 'opted-out' : undefined;
}

function leave(reason: Reason): Decision {
  return { action: 'leave', reason };
}
