// Watches of the ServiceAccounts that the settings select.
import type { ClusterConfig } from '../kube/config.ts';
import type { KubeError } from '../kube/errors.ts';
import type { Watch } from '../kube/follow.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { type ServiceAccountsOf, watchServiceAccounts } from '../kube/service-accounts.ts';
import type { Log } from '../telemetry/log.ts';
import { isPattern, type Settings } from './settings.ts';
import type { World } from './world.ts';

export interface AccountWatches {
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
export function accountWatches(dependencies: AccountWatchDependencies): AccountWatches {
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
