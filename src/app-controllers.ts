// Builds what keeps Secrets current beside admission: the watch of pull Secrets, renewal, housekeeping, provisioning and catch-up.

import { type AppCatchUpDependencies, createCatchUp } from './app-catch-up.ts';
import type { CatchUpController } from './catch-up/catch-up-controller.ts';
import type { DeniedHost } from './ecr/identity.ts';
import type { KubeError } from './kube/errors.ts';
import { createEventApi } from './kube/events.ts';
import type { InformerPhase } from './kube/informer.ts';
import type { ObjectError } from './kube/object-error.ts';
import { watchSecretMetadata } from './kube/secret-metadata.ts';
import { productName } from './labels.ts';
import { notifyOnChange } from './provisioning/cluster-cache.ts';
import { ProvisioningController } from './provisioning/provisioning-controller.ts';
import { findUnusedSettings, resolveSettings } from './provisioning/provisioning-settings.ts';
import { findFailuresOfWaitingPods } from './renewal/failure-reports.ts';
import {
  createDeniedHostReporter,
  createFullSecretReporter,
  createHostEventReporter,
} from './renewal/host-events.ts';
import { Housekeeping } from './renewal/housekeeping.ts';
import { RenewalController } from './renewal/renewal-controller.ts';

/** How often renewal checks the clocks for a jump, and what is due, in ms. */
const renewalTickMs = 1_000;

/** How often housekeeping checks for hosts to add or to remove, in ms. */
const housekeepingTickMs = 5_000;

export type ControllersDependencies = AppCatchUpDependencies;

export interface Controllers {
  readonly renewal: RenewalController;
  /** Undefined if catch-up is disabled. */
  readonly catchUp: CatchUpController | undefined;
  /** Reports hosts that were removed from a Secret because rules deny them to its namespace. */
  reportDenied(namespace: string, hosts: readonly DeniedHost[]): void;
  isInSync(): boolean;
  /** Starts all. Renewal and housekeeping begin when the cache of Secrets is in sync. */
  start(): void;
  /** Stops the controllers, and resolves when their writes are complete. */
  stop(): Promise<void>;
  /** Stops the watches, which the controllers need until they have stopped. */
  stopWatch(): Promise<void>;
}

export function createControllers(dependencies: ControllersDependencies): Controllers {
  const { config, app, log, metrics } = dependencies;
  const watch = watchSecretMetadata({
    config: app.cluster,
    name: config.secretName,
    handler: notifyOnChange(app.secretCache, (namespace) => provisioning.enqueue(namespace)),
    onError: (error, phase) => {
      metrics.countWatchFailure(error.code);
      if (phase === 'list') {
        log.warn({ err: error }, 'failed to list pull Secrets; will retry');
      } else {
        log.warn({ err: error }, 'the watch of pull Secrets failed; reconnecting');
      }
    },
    onObjectError: (error) => reportObjectError(error, dependencies),
  });
  const identityWatches = app.identities.watch({
    onChange: (namespace) => provisioning.enqueue(namespace),
    onError: (error, phase) => reportWatchError(error, phase, dependencies),
    onObjectError: (error) => reportObjectError(error, dependencies),
  });
  const renewal = createRenewal(dependencies, () => catchUp?.requestRound('failing-host'));
  const housekeeping = createHousekeeping(dependencies);
  const provisioning = createProvisioning(dependencies, () => watch.start());
  const catchUp = config.catchUp.enabled
    ? createCatchUp(dependencies, {
        isInSync: () => watch.isInSync(),
        listTokenFailures: () => findFailuresOfWaitingPods(renewal.state().overdue, Date.now()),
        now: readClocks,
      })
    : undefined;
  return {
    renewal,
    catchUp,
    reportDenied: createDeniedHostReporter(eventReporterDependencies(dependencies)),
    isInSync: () => watch.isInSync(),
    start: () => {
      identityWatches.start();
      void watch.start().then(() => {
        if (watch.isInSync()) {
          log.info('in sync with the API server');
          renewal.start();
          housekeeping.start();
          catchUp?.start();
          app.metadataRollout.start();
        }
      });
      void provisioning.start();
    },
    stop: async () => {
      const controllers = [catchUp, provisioning, housekeeping, renewal, app.metadataRollout];
      await Promise.all(controllers.map((controller) => controller?.stop()));
    },
    stopWatch: async () => {
      await Promise.all([watch.stop(), identityWatches.stop()]);
    },
  };
}

/** @param onNewWaitingHost called when pods may have come to wait for the token of a failing host */
function createRenewal(
  dependencies: ControllersDependencies,
  onNewWaitingHost: () => void,
): RenewalController {
  const { config, app, log, metrics } = dependencies;
  const reportFailures = createHostEventReporter(eventReporterDependencies(dependencies));
  return new RenewalController({
    secretCache: app.secretCache,
    secrets: app.secrets,
    resolveRegistry: app.resolveRegistry,
    unstored: app.housekeeping.unstored,
    rules: app.planRules,
    identityChangeCount: () => app.identities.changeCount,
    now: readClocks,
    random: Math.random,
    concurrency: config.renewal.concurrency,
    writesPerSecond: config.renewal.writesPerSecond,
    tickMs: renewalTickMs,
    log,
    countRenewal: metrics.countRenewal,
    onFailureReport: (report, onUnsent) => {
      reportFailures(report, onUnsent);
      if (report.hasNewWaitingHost) {
        onNewWaitingHost();
      }
    },
  });
}

function createHousekeeping(dependencies: ControllersDependencies): Housekeeping {
  const { config, app, log } = dependencies;
  return new Housekeeping({
    ...app.housekeeping,
    secretCache: app.secretCache,
    secrets: app.secrets,
    resolveRegistry: app.resolveRegistry,
    forgetAfterMs: config.secrets.forgetAfter,
    now: readClocks,
    random: Math.random,
    tickMs: housekeepingTickMs,
    log,
    onSecretFull: createFullSecretReporter(eventReporterDependencies(dependencies)),
  });
}

function createProvisioning(
  dependencies: ControllersDependencies,
  whenSynced: () => Promise<void>,
): ProvisioningController {
  const { config, app, log } = dependencies;
  const unused = findUnusedSettings(config);
  if (unused.length > 0) {
    log.warn({ settings: unused }, 'provisioning is disabled because provisioning.registries is empty');
  }
  return new ProvisioningController({
    config: app.cluster,
    settings: resolveSettings(config),
    secretCache: app.secretCache,
    secrets: app.secrets,
    isDenied: (namespace, registry) =>
      app.identities.isUndecided(namespace, registry)
        ? undefined
        : app.identities.findDenyingRule(namespace, registry) !== undefined,
    whenSynced,
    onWatchError: (error, phase) => reportWatchError(error, phase, dependencies),
    onObjectError: (error) => reportObjectError(error, dependencies),
    monotonicNow: () => performance.now(),
    random: Math.random,
    log,
  });
}

function eventReporterDependencies({ config, app, log }: ControllersDependencies) {
  const eventApi = createEventApi(app.cluster, productName);
  return {
    secretName: config.secretName,
    secretCache: app.secretCache,
    createEvent: config.renewal.events ? eventApi.create : undefined,
    now: Date.now,
    log,
  };
}

function reportWatchError(
  error: KubeError,
  phase: InformerPhase,
  { log, metrics }: ControllersDependencies,
): void {
  metrics.countWatchFailure(error.code);
  if (phase === 'list') {
    log.warn({ err: error }, 'failed to list namespaces or ServiceAccounts; will retry');
  } else {
    log.warn({ err: error }, 'a watch of namespaces or ServiceAccounts failed; reconnecting');
  }
}

function reportObjectError(error: ObjectError, { log, metrics }: ControllersDependencies): void {
  const { resource, namespace, objectName: name } = error;
  metrics.countUnreadableObject(resource);
  log.warn({ resource, namespace, name, err: error }, 'skipped an object that cannot be parsed');
}

function readClocks() {
  return { wallMs: Date.now(), monotonicMs: performance.now() };
}
