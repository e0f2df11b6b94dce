import { setTimeout as wait } from 'node:timers/promises';
import { backoffMs } from '../kube/backoff.ts';
import type { ClusterConfig } from '../kube/config.ts';
import { errorOf, type KubeError } from '../kube/errors.ts';
import type { Watch } from '../kube/follow.ts';
import { watchNamespaces } from '../kube/namespaces.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { listServiceAccounts } from '../kube/service-accounts.ts';
import type { Log } from '../telemetry/log.ts';
import { accountWatches } from './account-watches.ts';
import type { Settings } from './settings.ts';
import type { World } from './world.ts';

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
    await wait(backoffMs(failures, random()), undefined, { signal }).catch(() => undefined);
  }
}
