import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from '../ecr/registry.ts';
import type { Token } from '../ecr/token.ts';
import { isManagedSecret, mergeIntoSecret, type WriteSecretDependencies } from './apply.ts';
import { isBlockingSecret } from './cached-secret.ts';
import { determineNeed, isUpToDate, type TokenNeed, type TokenRules } from './host-needs.ts';
import type { DropPolicy } from './host-removal.ts';
import type { KnownSecret } from './secret-cache.ts';
import {
  failedHost,
  isGone,
  pendingHost,
  secretFullHost,
  staleHost,
  type UnavailableHost,
  unmanagedSecretHost,
} from './unavailable-host.ts';
import { toWriteFailure, type UnstoredHosts } from './unstored-hosts.ts';
import { coalesceWrites } from './write-queue.ts';

export interface PullSecretsDependencies extends WriteSecretDependencies {
  readonly rules: TokenRules;
  /** Makes room in full Secrets; without it, they stay full. */
  readonly dropPolicy?: Pick<DropPolicy, 'recordRequested' | 'canDrop' | 'findDroppable' | 'recordRefused'>;
  /** Keeps hosts whose write failed, for renewal to try again; without it, they are only reported. */
  readonly unstored?: UnstoredHosts;
  /** Whether the view may be believed without asking the API server. */
  hasSynced(): boolean;
  getToken(namespace: string, registry: Registry): Promise<Token>;
  /**
   * A token with nearly its whole life left; where none can be had, the best there is, or a rejection.
   * @param expiresAt when the stored token ends, in ms: the closer, the sooner a failed call may be made again
   */
  fetchNewToken(namespace: string, registry: Registry, expiresAt: number): Promise<Token>;
  /** Why the last call for a registry failed; undefined: it did not. */
  lastError(namespace: string, registry: Registry): Error | undefined;
  /** How long to wait for ECR before the Secret is written with the tokens that are there by then, in ms. */
  readonly maxWaitMs: number;
}

/** What admission asks for, and later renewal and provisioning. */
export interface PullSecrets {
  /** Whether the namespace's Secret is known to hold fresh tokens for all of these. Does no I/O. */
  hasFreshTokens(namespace: string, registries: readonly Registry[]): boolean;
  /**
   * Makes the namespace's Secret hold a token for each registry, or at least name the host as one to be filled in.
   * Comes back when that is done or has failed, or when ECR takes too long; what is not done by then goes on. A token
   * that is good enough for now is renewed behind the answer. Hosts whose write failed are kept until they are stored.
   * @returns the hosts without a living token, and why; none: all is well
   */
  ensure(namespace: string, registries: readonly Registry[]): Promise<UnavailableHost[]>;
  /**
   * Renews the namespace's Secret: asks for new tokens and stores each that takes the place of another. Writes a Secret
   * anew that is gone, or that somebody else has changed. Comes back when that is done or has failed, or when ECR takes too
   * long, so that one endpoint that hangs delays no other; a token that arrives later is stored then.
   * @returns the hosts whose tokens are not fresh now, and why (`pending`: ECR has not answered yet); none: all is well
   */
  renew(namespace: string, registries: readonly Registry[]): Promise<UnavailableHost[]>;
  /**
   * Resolves when nothing that was begun has still to be written. Waiting for a token, as long as a caller would, and between
   * two tries counts, although no call to the API server is in flight then.
   */
  waitUntilIdle(): Promise<void>;
  /** Reads the namespace's Secret into the view. Rejects with KubeError. */
  refreshCache(namespace: string): Promise<KnownSecret | undefined>;
}

/** The only writer of Secrets. */
export function createPullSecrets(dependencies: PullSecretsDependencies): PullSecrets {
  const { rules, log } = dependencies;
  const cachedSecret = (namespace: string) =>
    dependencies.hasSynced() ? dependencies.secretCache.get(namespace) : undefined;
  const write = coalesceWrites(async (namespace, wanted, addableHosts) =>
    isUpToDate(namespace, cachedSecret(namespace), wanted, rules)
      ? []
      : await mergeIntoSecret(namespace, wanted, dependencies, addableHosts),
  );

  const inFlight = new Set<Promise<unknown>>();

  function track<T>(task: Promise<T>): Promise<T> {
    const done = () => inFlight.delete(task);
    inFlight.add(task);
    task.then(done, done);
    return task;
  }

  /**
   * Keeps hosts whose write failed, unless the Secret names them: those are renewed anyway.
   * @param requested whether a pod wants them, or they were only to be renewed
   */
  function recordFailure(namespace: string, failures: readonly UnavailableHost[], requested: boolean): void {
    const { unstored, secretCache } = dependencies;
    const [first] = failures;
    if (first === undefined || unstored === undefined) {
      return;
    }
    if (isGone(first.code)) {
      unstored.forget(namespace);
    } else if (requested) {
      const secret = secretCache.get(namespace);
      const isNamed = (host: string) => secret?.isManaged === true && secret.hosts.has(host);
      const hosts = failures.map(({ host }) => host).filter((host) => !isNamed(host));
      unstored.add(namespace, hosts, toWriteFailure(first));
    } else {
      unstored.recordFailure(namespace, toWriteFailure(first));
    }
  }

  /** @param requested see {@link recordFailure} */
  async function store(
    namespace: string,
    tokens: ReadonlyMap<string, Token | undefined>,
    addableHosts: ReadonlySet<string>,
    requested: boolean,
  ): Promise<UnavailableHost[]> {
    try {
      const refused = (await write(namespace, tokens, addableHosts)).filter((host) => tokens.has(host));
      dependencies.unstored?.remove(namespace, tokens.keys());
      dependencies.dropPolicy?.recordRefused(namespace, refused);
      return refused.map(secretFullHost);
    } catch (error) {
      log.warn({ namespace, hosts: [...tokens.keys()], err: error }, 'pull Secret not written');
      const failures = [...tokens.keys()].map((host) => failedHost(host, error));
      recordFailure(namespace, failures, requested);
      return failures;
    }
  }

  /**
   * Fetches tokens, and stores those that arrive in time together and each later one by itself.
   * @param addableHosts hosts that are added to an intact Secret that does not name them
   * @param requested see {@link recordFailure}
   */
  async function fetchAndStore(
    namespace: string,
    registries: readonly Registry[],
    fetchToken: (registry: Registry) => Promise<Token>,
    addableHosts: ReadonlySet<string>,
    requested: boolean,
  ): Promise<UnavailableHost[]> {
    const fetches = registries.map((registry) => ({
      host: registry.host,
      result: tryFetchToken(registry, fetchToken),
    }));
    const inTime = await settleWithTimeout(dependencies.maxWaitMs, fetches);
    for (const [index, { host, result }] of fetches.entries()) {
      if (inTime[index]?.unavailable?.code === 'pending') {
        void result.then(({ token }) =>
          token === undefined
            ? []
            : track(store(namespace, new Map([[host, token]]), addableHosts, requested)),
        );
      }
    }
    const missing = inTime.flatMap(({ unavailable }) => unavailable ?? []);
    const tokens = new Map(inTime.map(({ host, token }) => [host, token]));
    const notStored = await store(namespace, tokens, addableHosts, requested);
    return [...notStored, ...missing.filter(({ host }) => notStored.every((other) => other.host !== host))];
  }

  async function renew(namespace: string, registries: readonly Registry[]): Promise<UnavailableHost[]> {
    const stored = dependencies.secretCache.get(namespace)?.hosts;
    // a host that has left the Secret since then stays out
    const addableHosts = new Set(
      registries.map(({ host }) => host).filter((host) => stored?.has(host) !== true),
    );
    const fetchToken = (registry: Registry) => {
      const lifetime = stored?.get(registry.host);
      // where there is none to replace, the remembered one will do: a deleted namespace costs no call
      return lifetime === undefined
        ? dependencies.getToken(namespace, registry)
        : dependencies.fetchNewToken(namespace, registry, lifetime.expiresAt);
    };
    const missing = await track(fetchAndStore(namespace, registries, fetchToken, addableHosts, false));
    return registries.flatMap((registry) => {
      const { host } = registry;
      const lifetime = dependencies.secretCache.get(namespace)?.hosts.get(host);
      const unavailable = missing.find((other) => other.host === host);
      if (unavailable !== undefined || (lifetime !== undefined && rules.isFresh(lifetime))) {
        return unavailable ?? [];
      }
      const failure = dependencies.lastError(namespace, registry);
      return failure === undefined ? staleHost(host) : failedHost(host, failure);
    });
  }

  return {
    renew,
    waitUntilIdle: async () => {
      while (inFlight.size > 0) {
        await Promise.allSettled(inFlight);
      }
    },
    refreshCache: async (namespace) => {
      const secret = await dependencies.store.read(namespace);
      if (secret !== undefined) {
        dependencies.secretCache.updateFromRead(secret, isManagedSecret(secret));
      }
      return secret === undefined ? undefined : dependencies.secretCache.get(namespace);
    },
    hasFreshTokens: (namespace, registries) => {
      const secret = cachedSecret(namespace);
      return (
        secret?.isManaged === true &&
        registries.every(({ host }) => determineNeed(host, secret, rules) === 'nothing')
      );
    },
    ensure: async (namespace, registries) => {
      dependencies.dropPolicy?.recordRequested(namespace, registries);
      const secret = cachedSecret(namespace);
      if (secret !== undefined && !secret.isManaged) {
        const failures = registries.map(({ host }) => unmanagedSecretHost(host));
        if (isBlockingSecret(secret)) {
          recordFailure(namespace, failures, true);
        }
        return failures;
      }
      const registriesThatNeed = (need: TokenNeed) =>
        registries.filter(({ host }) => determineNeed(host, secret, rules) === need);
      const [renewal, token, room] = [
        registriesThatNeed('renewal'),
        registriesThatNeed('token'),
        registriesThatNeed('room'),
      ];
      if (renewal.length > 0) {
        renew(namespace, renewal).catch((error: unknown) =>
          log.error({ namespace, err: error }, 'renewal failed'),
        );
      }
      const canDrop = room.length > 0 && dependencies.dropPolicy?.canDrop(namespace) === true;
      const toFill = canDrop ? [...token, ...room] : token;
      const refusedHosts = canDrop ? [] : room.map(({ host }) => host);
      dependencies.dropPolicy?.recordRefused(namespace, refusedHosts);
      const fetchToken = (registry: Registry) => dependencies.getToken(namespace, registry);
      const addableHosts = new Set(toFill.map(({ host }) => host));
      const unavailableAfterFill =
        toFill.length > 0
          ? await track(fetchAndStore(namespace, toFill, fetchToken, addableHosts, true))
          : [];
      return [...refusedHosts.map(secretFullHost), ...unavailableAfterFill];
    },
  };
}

/** How asking for one registry's token ended. */
interface FetchResult {
  readonly host: string;
  readonly token?: Token;
  /** Why there is no token. */
  readonly unavailable?: UnavailableHost;
}

/** Asks for a registry's token; a failure is a result. */
async function tryFetchToken(
  registry: Registry,
  token: (registry: Registry) => Promise<Token>,
): Promise<FetchResult> {
  try {
    return { host: registry.host, token: await token(registry) };
  } catch (error) {
    return { host: registry.host, unavailable: failedHost(registry.host, error) };
  }
}

/**
 * Waits for all of them, but no longer than `ms`: what has not ended by then is told as a shortfall `pending` in its
 * place, and goes on.
 */
async function settleWithTimeout(
  ms: number,
  fetches: readonly { host: string; result: Promise<FetchResult> }[],
): Promise<FetchResult[]> {
  const done = new AbortController();
  const timeout = sleep(ms, undefined, { signal: done.signal }).catch(() => undefined);
  const results = await Promise.all(
    fetches.map(({ host, result }) =>
      Promise.race([result, timeout.then(() => ({ host, shortfall: pendingHost(host) }))]),
    ),
  );
  done.abort();
  return results;
}
