// Finds pending pods that lack tokens or the reference to the pull Secret. Pure.
import type { Registry } from '../ecr/registry.ts';
import { type DecisionRules, decideOnPod } from '../injection/decision.ts';
import { getField, getItems, isObject, toText } from '../util/json.ts';

/** The controller that owns a pod. */
export interface PodController {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** Identifies a pod. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A pod that the webhook would have given the reference, and that does not have it. */
export interface UninjectedPod extends PodName {
  readonly resourceVersion: string;
  /** When the API server created it, in ms since the epoch. */
  readonly createdAt: number;
  /** Its registries whose tokens it cannot use, at most {@link maxNamedHosts}. */
  readonly hosts: readonly string[];
  /** Number of further registries. */
  readonly moreHosts: number;
  /** Undefined if no controller owns it, or one with an impossible name. */
  readonly controller: PodController | undefined;
  /** No container has started yet, and the kubelet reports that an image cannot be pulled, or nothing. */
  readonly isStuck: boolean;
}

/** What there is to do about a pending pod. */
export type PodFinding =
  | {
      readonly kind: 'needs-tokens';
      readonly pod: PodName;
      /** Those whose tokens are missing. */
      readonly registries: readonly Registry[];
    }
  | {
      readonly kind: 'uninjected';
      readonly pod: UninjectedPod;
      /** False if a rule may deny its tokens, which the labels of its namespace will show. */
      readonly isCertain: boolean;
    };

export interface PodRules extends DecisionRules {
  /** Whether the Secret of a namespace is known to lack a valid token of a registry. */
  lacksToken(namespace: string, registry: Registry): boolean;
  /** Whether it is not known yet if a rule denies it. */
  isUndecided(namespace: string, registry: Registry): boolean;
}

/** Hosts that are kept of a pod without a reference. */
const maxNamedHosts = 3;

/**
 * Decides about a pending pod as the webhook would have decided at its creation.
 * @param pod as the API server sent it
 * @returns undefined if there is nothing to do
 */
export function examinePod(pod: unknown, rules: PodRules): PodFinding | undefined {
  const metadata = getField(pod, 'metadata');
  const namespace = getText(metadata, 'namespace');
  if (namespace === '' || getField(metadata, 'deletionTimestamp') !== undefined) {
    return undefined;
  }
  const decision = decideOnPod(pod, namespace, rules);
  if (decision.action !== 'ensure') {
    return undefined;
  }
  if (decision.patch !== undefined) {
    const isCertain = decision.registries.some((registry) => !rules.isUndecided(namespace, registry));
    return { kind: 'uninjected', pod: describePod(pod, namespace, decision.registries), isCertain };
  }
  const registries = decision.registries.filter((registry) => rules.lacksToken(namespace, registry));
  return registries.length === 0
    ? undefined
    : { kind: 'needs-tokens', pod: getPodName(metadata, namespace), registries };
}

function describePod(pod: unknown, namespace: string, registries: readonly Registry[]): UninjectedPod {
  const metadata = getField(pod, 'metadata');
  return {
    ...getPodName(metadata, namespace),
    resourceVersion: getText(metadata, 'resourceVersion'),
    createdAt: Date.parse(getText(metadata, 'creationTimestamp')),
    hosts: registries.slice(0, maxNamedHosts).map(({ host }) => host),
    moreHosts: Math.max(0, registries.length - maxNamedHosts),
    controller: findController(metadata),
    isStuck: isStuck(pod),
  };
}

function getPodName(metadata: unknown, namespace: string): PodName {
  return { namespace, name: getText(metadata, 'name'), uid: getText(metadata, 'uid') };
}

/**
 * Maximum length of what names a controller. The API server accepts a longer text, although no object has such a name, and a
 * megabyte of it in each of many pods would fill the memory.
 */
const maxNameLength = 253;

function findController(metadata: unknown): PodController | undefined {
  const owner = getItems(getField(metadata, 'ownerReferences')).find(
    (one) => getField(one, 'controller') === true,
  );
  if (owner === undefined) {
    return undefined;
  }
  const controller = {
    apiVersion: getText(owner, 'apiVersion'),
    kind: getText(owner, 'kind'),
    name: getText(owner, 'name'),
    uid: getText(owner, 'uid'),
  };
  return Object.values(controller).every(({ length }) => length <= maxNameLength) ? controller : undefined;
}

const statusFields = ['initContainerStatuses', 'containerStatuses', 'ephemeralContainerStatuses'] as const;

/** Reasons of the kubelet for a container whose image cannot be pulled (kubernetes `pkg/kubelet/images/types.go`). */
export const pullFailures: ReadonlySet<unknown> = new Set(['ErrImagePull', 'ImagePullBackOff']);

/** The statuses of all containers of a pod. */
export function listContainerStatuses(pod: unknown): readonly unknown[] {
  const status = getField(pod, 'status');
  return statusFields.flatMap((field) => getItems(getField(status, field)));
}

/** What a container waits for; undefined: it does not wait. */
export function getWaiting(containerStatus: unknown): unknown {
  return getField(getField(containerStatus, 'state'), 'waiting');
}

function isStuck(pod: unknown): boolean {
  const statuses = listContainerStatuses(pod);
  return (
    statuses.every(neverStarted) &&
    (statuses.length === 0 || statuses.some((one) => pullFailures.has(getField(getWaiting(one), 'reason'))))
  );
}

function neverStarted(container: unknown): boolean {
  const { state, lastState, restartCount = 0, started } = isObject(container) ? container : {};
  const hasRun = (one: unknown) =>
    getField(one, 'running') !== undefined || getField(one, 'terminated') !== undefined;
  return restartCount === 0 && started !== true && !hasRun(state) && !hasRun(lastState);
}

function getText(value: unknown, field: string): string {
  return toText(getField(value, field));
}
