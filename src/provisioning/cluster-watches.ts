import { setTimeout as wait } from 'node:timers/promises';
import type { ClusterConfig } from '../kube/client.ts';
import { errorOf, type KubeError } from '../kube/errors.ts';
import type { Watch } from '../kube/informer.ts';
import { watchNamespaces } from '../kube/namespaces.ts';
import type { ObjectError } from '../kube/object-error.ts';
import {
  listServiceAccounts,
  type ServiceAccountsOf,
  watchServiceAccounts,
} from '../kube/service-accounts.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import type { World } from './cluster-cache.ts';
import { isPattern, type Settings } from './provisioning-settings.ts';

export interface SourceParts {
  readonly config: ClusterConfig;
  readonly settings: Settings;
  readonly world: World;
  readonly log: Log;
  ready(): Promise<void>;
  onWatchError(error: KubeError): void;
  onObjectError(error: ObjectError): void;
  random(): number;
}

/** What tells of namespaces and ServiceAccounts. */
export interface Sources {
  /** Resolves when the namespaces are known, or when stopped before. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Watches of namespaces and ServiceAccounts; see {@link accountWatches}. On top of that one look at all ServiceAccounts, for references that we added under other settings. With
 * the mode off there is only that look.
 */
export function sources(parts: SourceParts): Sources {
  const stopping = new AbortController();
  const stopped = Promise.withResolvers<void>();
  let looking: Promise<void> | undefined;
  const { settings } = parts;
  const on = settings.registries.length > 0;
  const namespaces = on ? [namespaceWatch(parts)] : [];
  const accounts = on ? accountWatches(parts) : undefined;
  return {
    start: async () => {
      // the pull Secrets come first, with the mode off too
      const known = Promise.all([...namespaces.map((watch) => watch.start()), parts.ready()]);
      accounts?.start();
      await Promise.race([known, stopped.promise]);
      looking = lookForOld(parts, stopping.signal);
    },
    stop: async () => {
      stopping.abort();
      stopped.resolve();
      await Promise.all([looking, accounts?.stop(), ...namespaces.map((watch) => watch.stop())]);
    },
  };
}

function namespaceWatch({
  config,
  settings: { selector },
  world,
  onWatchError: onError,
  onObjectError,
}: SourceParts): Watch {
  return watchNamespaces({ config, selector, sink: world.namespaces(), onError, onObjectError });
}

async function lookForOld({ config, world, log, random }: SourceParts, signal: AbortSignal): Promise<void> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      const accounts = await listServiceAccounts(config, {}, signal);
      for (const account of accounts) {
        if (account.reference !== undefined) world.learn(account);
      }
      return;
    } catch (failure) {
      const error = errorOf(failure, 'list ServiceAccounts');
      if (error.code === 'forbidden') {
        log.debug(
          { err: error },
          'not looked for references of other settings: no right to list ServiceAccounts',
        );
        return;
      }
    }
    await wait(backoffMs(apiServerBackoff, failures, random()), undefined, { signal }).catch(() => undefined);
  }
}

interface AccountWatches {
  /** Starts. ServiceAccounts are reported when they are known. */
  start(): void;
  /** Stops, and resolves when nothing is in flight: nothing is reported after that. */
  stop(): Promise<void>;
}

interface AccountWatchDependencies {
  readonly config: ClusterConfig;
  readonly settings: Pick<Settings, 'serviceAccounts'>;
  readonly world: Pick<World, 'accounts'>;
  readonly log: Log;
  /** Called for each failure of a watch, which then reconnects. */
  onWatchError(error: KubeError): void;
  /** Called for each object that cannot be parsed. */
  onObjectError(error: ObjectError): void;
}

/**
 * Watches ServiceAccounts: a single name by name, since then RBAC can grant the name alone; several names and patterns with
 * one watch of all ServiceAccounts, because a watch by name has a connection and requests of its own.
 *
 * Where that watch is forbidden, names without a pattern are watched one by one. That lasts until the process ends.
 */
function accountWatches(dependencies: AccountWatchDependencies): AccountWatches {
  const names = new Set(dependencies.settings.serviceAccounts);
  const hasPattern = [...names].some(isPattern);
  const [single] = names;
  if (single === undefined) return { start: () => undefined, stop: async () => undefined };
  if (hasPattern) return separately([{}], dependencies);
  return names.size === 1 ? separately([{ name: single }], dependencies) : together(names, dependencies);
}

/** One watch for each. */
function separately(selections: readonly ServiceAccountsOf[], dependencies: AccountWatchDependencies) {
  const watches = selections.map((which) => watchOf(which, dependencies, dependencies.onWatchError));
  return {
    start: () => {
      for (const watch of watches) void watch.start();
    },
    stop: async () => {
      await Promise.all(watches.map((watch) => watch.stop()));
    },
  };
}

/** One watch for several names, or one for each name where that is forbidden. */
function together(names: ReadonlySet<string>, dependencies: AccountWatchDependencies): AccountWatches {
  const { log, onWatchError } = dependencies;
  let byName: AccountWatches | undefined;
  let stopped = false;
  const onError = (error: KubeError) => {
    if (error.code !== 'forbidden') {
      onWatchError(error);
      return;
    }
    if (byName !== undefined || stopped) return;
    void shared.stop();
    byName = separately(
      [...names].map((name) => ({ name })),
      dependencies,
    );
    byName.start();
    log.info(
      { serviceAccounts: [...names], err: error },
      'no right to list and watch all ServiceAccounts; watching each name separately',
    );
  };
  const shared = watchOf({ keptNames: names }, dependencies, onError);
  return {
    start: () => void shared.start(),
    stop: async () => {
      stopped = true;
      await Promise.all([shared.stop(), byName?.stop()]);
    },
  };
}

function watchOf(
  which: ServiceAccountsOf,
  { config, world, onObjectError }: AccountWatchDependencies,
  onError: (error: KubeError) => void,
): Watch {
  return watchServiceAccounts({ config, which, sink: world.accounts(which.name), onError, onObjectError });
}
