// Informers of provisioning: watches Namespaces and ServiceAccounts, and searches for outdated references once.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterConfig } from '../kube/client.ts';
import { type KubeError, toKubeError } from '../kube/errors.ts';
import type { Informer, InformerPhase } from '../kube/informer.ts';
import { watchNamespaces } from '../kube/namespaces.ts';
import type { ObjectError } from '../kube/object-error.ts';
import {
  listServiceAccounts,
  type ServiceAccountSelection,
  watchServiceAccounts,
} from '../kube/service-accounts.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import type { ClusterCache } from './cluster-cache.ts';
import { isPattern, type ProvisioningSettings } from './provisioning-settings.ts';

export interface InformerDependencies {
  readonly config: ClusterConfig;
  readonly settings: ProvisioningSettings;
  readonly cache: ClusterCache;
  readonly log: Log;
  whenSynced(): Promise<void>;
  onWatchError(error: KubeError, phase: InformerPhase): void;
  onObjectError(error: ObjectError): void;
  random(): number;
}

/** Keeps the cluster cache up to date. */
export interface ProvisioningInformers {
  /** Resolves when the Namespaces are cached, or when stopped before. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Watches Namespaces and ServiceAccounts; see {@link createServiceAccountWatches}. Also lists all ServiceAccounts once, to find
 * references that the program added under earlier settings. If provisioning is disabled, it only does the latter.
 */
export function createInformers(dependencies: InformerDependencies): ProvisioningInformers {
  const stopping = new AbortController();
  const stopped = Promise.withResolvers<void>();
  let staleReferenceSearch: Promise<void> | undefined;
  const { settings } = dependencies;
  const isEnabled = settings.registries.length > 0;
  const namespaces = isEnabled ? [watchSelectedNamespaces(dependencies)] : [];
  const accounts = isEnabled ? createServiceAccountWatches(dependencies) : undefined;
  return {
    start: async () => {
      // planning needs the complete Secret cache; if provisioning is disabled, the pull Secrets are still more urgent
      const synced = Promise.all([...namespaces.map((watch) => watch.start()), dependencies.whenSynced()]);
      accounts?.start();
      await Promise.race([synced, stopped.promise]);
      staleReferenceSearch = findStaleReferences(dependencies, stopping.signal);
    },
    stop: async () => {
      stopping.abort();
      stopped.resolve();
      await Promise.all([staleReferenceSearch, accounts?.stop(), ...namespaces.map((watch) => watch.stop())]);
    },
  };
}

function watchSelectedNamespaces({
  config,
  settings: { labelSelector },
  cache,
  onWatchError: onError,
  onObjectError,
}: InformerDependencies): Informer {
  return watchNamespaces({
    config,
    selection: { selector: labelSelector },
    handler: cache.createNamespaceHandler(),
    onError,
    onObjectError,
  });
}

async function findStaleReferences(
  { config, cache, log, random }: InformerDependencies,
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      const accounts = await listServiceAccounts(config, {}, signal);
      for (const account of accounts) {
        if (account.managedReference !== undefined) {
          cache.setServiceAccount(account);
        }
      }
      return;
    } catch (failure) {
      const error = toKubeError(failure, 'list ServiceAccounts');
      if (error.code === 'forbidden') {
        log.debug(
          { err: error },
          'not allowed to list ServiceAccounts; skipped the search for outdated references',
        );
        return;
      }
    }
    await sleep(backoffMs(apiServerBackoff, failures, random()), undefined, { signal }).catch(
      () => undefined,
    );
  }
}

interface ServiceAccountWatches {
  /** Starts the watches without waiting for the first list. */
  start(): void;
  /** Stops, and resolves when nothing is in flight. The cache does not change after that. */
  stop(): Promise<void>;
}

interface ServiceAccountWatchDependencies {
  readonly config: ClusterConfig;
  readonly settings: Pick<ProvisioningSettings, 'serviceAccounts'>;
  readonly cache: Pick<ClusterCache, 'createServiceAccountHandler'>;
  readonly log: Log;
  /** Called for each failure of a watch, which then reconnects. */
  onWatchError(error: KubeError, phase: InformerPhase): void;
  /** Called for each object that cannot be parsed. */
  onObjectError(error: ObjectError): void;
}

/**
 * Watches ServiceAccounts. A single name is watched by name, because RBAC can then be restricted to it. Several names or patterns
 * share one watch of all ServiceAccounts, because each watch by name needs its own connection.
 *
 * If that watch is forbidden and there are no patterns, each name gets its own watch until the process exits.
 */
function createServiceAccountWatches(dependencies: ServiceAccountWatchDependencies): ServiceAccountWatches {
  const names = new Set(dependencies.settings.serviceAccounts);
  const hasPattern = [...names].some(isPattern);
  const [single] = names;
  if (single === undefined) {
    return { start: () => undefined, stop: async () => undefined };
  }
  if (hasPattern) {
    return watchSeparately([{}], dependencies);
  }
  return names.size === 1
    ? watchSeparately([{ name: single }], dependencies)
    : watchTogether(names, dependencies);
}

/** Creates one watch for each selection. */
function watchSeparately(
  selections: readonly ServiceAccountSelection[],
  dependencies: ServiceAccountWatchDependencies,
): ServiceAccountWatches {
  const watches = selections.map((selection) =>
    watchSelection(selection, dependencies, dependencies.onWatchError),
  );
  return {
    start: () => {
      for (const watch of watches) {
        void watch.start();
      }
    },
    stop: async () => {
      await Promise.all(watches.map((watch) => watch.stop()));
    },
  };
}

/** Creates one watch for several names, and falls back to one watch for each name if that is forbidden. */
function watchTogether(
  names: ReadonlySet<string>,
  dependencies: ServiceAccountWatchDependencies,
): ServiceAccountWatches {
  const { log, onWatchError } = dependencies;
  let separateWatches: ServiceAccountWatches | undefined;
  let stopped = false;
  const onError = (error: KubeError, phase: InformerPhase) => {
    if (error.code !== 'forbidden') {
      onWatchError(error, phase);
      return;
    }
    if (separateWatches !== undefined || stopped) {
      return;
    }
    void sharedWatch.stop();
    separateWatches = watchSeparately(
      [...names].map((name) => ({ name })),
      dependencies,
    );
    separateWatches.start();
    log.info(
      { serviceAccounts: [...names], err: error },
      'not allowed to list and watch all ServiceAccounts; watching each name separately',
    );
  };
  const sharedWatch = watchSelection({ keptNames: names }, dependencies, onError);
  return {
    start: () => void sharedWatch.start(),
    stop: async () => {
      stopped = true;
      await Promise.all([sharedWatch.stop(), separateWatches?.stop()]);
    },
  };
}

function watchSelection(
  selection: ServiceAccountSelection,
  { config, cache, onObjectError }: ServiceAccountWatchDependencies,
  onError: (error: KubeError, phase: InformerPhase) => void,
): Informer {
  return watchServiceAccounts({
    config,
    which: selection,
    handler: cache.createServiceAccountHandler(selection.name),
    onError,
    onObjectError,
  });
}
