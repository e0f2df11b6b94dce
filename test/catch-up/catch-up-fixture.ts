// Builds pending pods and the catch-up controller for tests, with a clock that the test drives.
import { CatchUpController, type CatchUpDependencies } from '../../src/catch-up/catch-up-controller.ts';
import type { TokenFailure } from '../../src/catch-up/finding-collector.ts';
import { MissedPodReporter } from '../../src/catch-up/missed-pod-reports.ts';
import { PodEvictions } from '../../src/catch-up/pod-evictions.ts';
import { WaitingPodReporter } from '../../src/catch-up/waiting-pod-reports.ts';
import type { Registry } from '../../src/ecr/registry.ts';
import { createPullSecretReference } from '../../src/injection/patch.ts';
import type { KubeEvent } from '../../src/kube/events.ts';
import type { PodApi } from '../../src/kube/pods.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import type { UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { resolveRegistry } from '../support/registries.ts';

export const start = Date.UTC(2026, 10, 23, 12);
export const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
export const secondMs = 1_000;
export const minuteMs = 60_000;

export const rules = {
  reference: createPullSecretReference('ecr-pull-secrets'),
  resolveRegistry,
  exclude: { namespaces: ['kube-*'], accounts: ['9*'] },
  findDenyingRule: () => undefined,
  isUndecided: () => false,
};

export interface PodOptions {
  readonly images?: readonly string[];
  readonly hasReference?: boolean;
  /** In ms since the epoch; ten minutes before {@link start} by default. */
  readonly createdAt?: number;
  readonly metadata?: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
}

/** A pending pod as the API server sends it. Its UID is `uid-NAME`. */
export function pendingPod(
  namespace: string,
  name: string,
  { images = [`${host}/app:1`], hasReference = false, createdAt, metadata, status }: PodOptions = {},
): Record<string, unknown> {
  return {
    metadata: {
      ...{ namespace, name, uid: `uid-${name}`, resourceVersion: '1' },
      creationTimestamp: new Date(createdAt ?? start - 10 * minuteMs).toISOString(),
      ...metadata,
    },
    spec: {
      containers: images.map((image, index) => ({ name: `c${index}`, image })),
      ...(hasReference && { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] }),
    },
    status: { phase: 'Pending', ...status },
  };
}

/** Metadata of a pod that a controller owns. */
export function ownedBy(kind: string, name: string, apiVersion = 'apps/v1'): Record<string, unknown> {
  return { ownerReferences: [{ apiVersion, kind, name, uid: `uid-${name}`, controller: true }] };
}

/**
 * A controller whose pods, namespaces and API calls the test sets.
 * @param evicts whether pods without a reference are deleted
 */
export function setUpCatchUp(overrides: Partial<CatchUpDependencies> = {}, evicts = false) {
  const clock = { wallMs: start, monotonicMs: 0 };
  const state = {
    pods: [] as unknown[],
    isInSync: true,
    canEvict: true,
    lists: 0,
    ensured: [] as { readonly namespace: string; readonly hosts: readonly string[] }[],
    events: [] as KubeEvent[],
    deleted: [] as string[],
    rounds: [] as string[],
    evictions: [] as string[],
    /** Why hosts have no token, by namespace and host. */
    failures: new Map<string, Map<string, TokenFailure>>(),
    lines: [] as Record<string, unknown>[],
    ensure: async (_namespace: string, _registries: readonly Registry[]): Promise<UnavailableHost[]> => [],
    delete: (async () => true) as PodApi['delete'],
  };
  const log = createJsonLog('debug', { write: (line) => void state.lines.push(JSON.parse(line)) });
  const monotonicNow = () => clock.monotonicMs;
  const secretCache = new SecretCache(resolveRegistry, monotonicNow);
  const eventDependencies = {
    createEvent: async (event: KubeEvent) => state.events.push(event) > 0,
    eventsPerSecond: 100_000,
    now: () => clock.wallMs,
    log,
  };
  const reporter = new MissedPodReporter({
    ...eventDependencies,
    secretName: 'ecr-pull-secrets',
    monotonicNow,
  });
  const evictions = new PodEvictions({
    pods: {
      delete: async (pod) => {
        const isDeleted = await state.delete(pod);
        if (isDeleted) {
          state.deleted.push(pod.name);
        }
        return isDeleted;
      },
    },
    reporter,
    perSecond: 100_000,
    canEvict: () => state.canEvict,
    monotonicNow,
    countEviction: (outcome) => state.evictions.push(outcome),
    log,
  });
  const catchUp = new CatchUpController({
    secretCache,
    secrets: {
      ensure: async (namespace, registries) => {
        state.ensured.push({ namespace, hosts: registries.map((one) => one.host) });
        return await state.ensure(namespace, registries);
      },
    },
    rules,
    resolveRegistry,
    listPendingPods: async (onPage) => {
      state.lists += 1;
      await onPage(state.pods);
    },
    listSelectedNamespaces: undefined,
    isInSync: () => state.isInSync,
    reporter,
    waitingReporter: new WaitingPodReporter(eventDependencies),
    listTokenFailures: () => state.failures,
    evictions: evicts ? evictions : undefined,
    intervalMs: 5 * minuteMs,
    minimumAgeMs: 30 * secondMs,
    now: () => ({ ...clock }),
    random: () => 0.5,
    tickMs: secondMs,
    countRound: (outcome) => state.rounds.push(outcome),
    log,
    ...overrides,
  });
  /** Moves both clocks, ticks, and waits until the round has ended. */
  const pass = async (ms: number) => {
    clock.wallMs += ms;
    clock.monotonicMs += ms;
    catchUp.tick();
    await catchUp.waitUntilIdle();
  };
  /** Ticks until the first round has ended. */
  const runFirstRound = async () => {
    await pass(0);
    await pass(2 * secondMs);
  };
  const storeToken = (namespace: string, expiresAt: number) =>
    secretCache.set({
      ...{ namespace, uid: `uid-${namespace}`, resourceVersion: '1', fieldOwners: [] },
      labels: { [managedByLabel]: productName },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, { issuedAt: start, expiresAt }]])) },
    });
  return { catchUp, clock, state, pass, runFirstRound, storeToken };
}
