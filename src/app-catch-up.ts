// Builds what finds pending pods that admission missed.
import type { App } from './app.ts';
import { CatchUpController } from './catch-up/catch-up-controller.ts';
import type { TokenFailure } from './catch-up/finding-collector.ts';
import { MissedPodReporter } from './catch-up/missed-pod-reports.ts';
import { PodEvictions } from './catch-up/pod-evictions.ts';
import { WaitingPodReporter } from './catch-up/waiting-pod-reports.ts';
import type { Config } from './config/schema.ts';
import type { ClockReading } from './ecr/token-policy.ts';
import { createEventApi } from './kube/events.ts';
import { listNamespaces } from './kube/namespaces.ts';
import { createPodApi, listPendingPods } from './kube/pods.ts';
import { productName } from './labels.ts';
import type { Log } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** How often catch-up checks whether a round is due, in ms. */
const tickMs = 1_000;

/**
 * How long the webhook must have been ready before pods are deleted, in ms. Until then, the API server may not call it yet, and
 * their replacements would lack the reference, too.
 */
const readyBeforeEvictionMs = 15_000;

export interface AppCatchUpDependencies {
  readonly config: Config;
  readonly app: App;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Whether the webhook is ready to answer. */
  isWebhookReady(): boolean;
}

/** What catch-up gets from the other controllers. */
interface CatchUpOptions {
  isInSync(): boolean;
  listTokenFailures(): ReadonlyMap<string, ReadonlyMap<string, TokenFailure>>;
  now(): ClockReading;
}

export function createCatchUp(
  dependencies: AppCatchUpDependencies,
  { isInSync, listTokenFailures, now }: CatchUpOptions,
): CatchUpController {
  const { config, app, log, metrics } = dependencies;
  const { selector } = config.catchUp.namespaces;
  const reporter = createReporter(dependencies);
  return new CatchUpController({
    secretCache: app.secretCache,
    secrets: app.secrets,
    rules: { ...app.createDecisionRules(), isUndecided: app.identities.isUndecided },
    resolveRegistry: app.resolveRegistry,
    listPendingPods: (onPage, signal) => listPendingPods(app.cluster, onPage, signal),
    listSelectedNamespaces:
      selector === ''
        ? undefined
        : async (signal) => {
            const namespaces = await listNamespaces(app.cluster, { selector }, signal);
            return new Set(namespaces.map(({ name }) => name));
          },
    isInSync,
    reporter,
    waitingReporter: new WaitingPodReporter(createEventDependencies(dependencies)),
    listTokenFailures,
    evictions: config.catchUp.evict ? createEvictions(dependencies, reporter) : undefined,
    intervalMs: config.catchUp.interval,
    minimumAgeMs: config.catchUp.minimumAge,
    now,
    random: Math.random,
    tickMs,
    countRound: metrics.countCatchUpRound,
    log,
  });
}

function createReporter(dependencies: AppCatchUpDependencies): MissedPodReporter {
  return new MissedPodReporter({
    ...createEventDependencies(dependencies),
    secretName: dependencies.config.secretName,
    monotonicNow: () => performance.now(),
  });
}

function createEventDependencies({ config, app, log }: AppCatchUpDependencies) {
  const createEvent = config.renewal.events ? createEventApi(app.cluster, productName).create : undefined;
  return { createEvent, now: Date.now, log };
}

function createEvictions(
  { app, log, metrics, isWebhookReady }: AppCatchUpDependencies,
  reporter: MissedPodReporter,
): PodEvictions {
  return new PodEvictions({
    pods: createPodApi(app.cluster),
    reporter,
    canEvict: createReadinessCheck(isWebhookReady, () => performance.now()),
    monotonicNow: () => performance.now(),
    countEviction: metrics.countEviction,
    log,
  });
}

/** Creates a function that returns whether the webhook was ready at each call since {@link readyBeforeEvictionMs}. */
function createReadinessCheck(isReady: () => boolean, monotonicNow: () => number): () => boolean {
  let readySince: number | undefined;
  return () => {
    readySince = isReady() ? (readySince ?? monotonicNow()) : undefined;
    return readySince !== undefined && monotonicNow() - readySince >= readyBeforeEvictionMs;
  };
}
