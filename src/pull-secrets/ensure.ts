// Makes a namespace's Secret hold valid tokens: for a pod at admission, and later for renewal and provisioning.
import { type DeniedHost, getDenyingRule, isOfIdentity, splitDenied } from '../ecr/identity.ts';
import type { Registry } from '../ecr/registry.ts';
import type { Token } from '../ecr/token.ts';
import { waitAtMost } from '../util/timeout.ts';
import { isManagedSecret, mergeIntoSecret, type WriteSecretDependencies } from './apply.ts';
import { type CachedSecret, isBlockingSecret } from './cached-secret.ts';
import { determineNeed, isUpToDate, type TokenNeed, type TokenRules } from './host-needs.ts';
import type { DropPolicy } from './host-removal.ts';
import { type DesiredHosts, findDeniedHosts } from './merge.ts';
import {
  deniedHost,
  failedHost,
  identityChangedHost,
  isDenied,
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
  /** Makes room in full Secrets. Without it, they stay full. */
  readonly dropPolicy?: Pick<DropPolicy, 'recordRequested' | 'canDrop' | 'findDroppable' | 'recordRefused'>;
  /** Keeps hosts whose write failed, so that renewal retries it. Without it, they are only reported. */
  readonly unstored?: UnstoredHosts;
  /** Whether the cache is current, so that no request to the API server is needed to know that a Secret is up to date. */
  hasSynced(): boolean;
  getToken(namespace: string, registry: Registry): Promise<Token>;
  /**
   * A token with nearly its whole lifetime left, or else the newest that is available. Rejects if there is none.
   * @param expiresAt when the stored token expires, in ms since the epoch: the sooner, the earlier a failed call is retried
   */
  fetchNewToken(namespace: string, registry: Registry, expiresAt: number): Promise<Token>;
  /** Why the last call for a registry failed; undefined if it succeeded. */
  lastError(namespace: string, registry: Registry): Error | undefined;
  /** How long to wait for ECR before the Secret is written with the tokens that have arrived, in ms. */
  readonly maxWaitMs: number;
}

/** Operations on the pull Secrets for admission, renewal and provisioning. */
export interface PullSecrets {
  /**
   * Whether the namespace's Secret is known to hold fresh tokens for all registries, except those that rules deny to the
   * namespace. False if rules deny all of them. Does no I/O.
   */
  hasFreshTokens(namespace: string, registries: readonly Registry[]): boolean;
  /**
   * Makes the namespace's Secret hold a token for each registry, or at least name each host so that its token is added later.
   * Resolves when this is done or has failed, or after `maxWaitMs`; what is pending then continues. Renews usable tokens that
   * are not fresh, without waiting for that. Hosts whose write failed are kept until they are stored. Registries that rules deny
   * to the namespace are neither fetched nor stored.
   * @returns the hosts without a valid token, and why; a denied host is one of them (see `isDenied`)
   */
  ensure(namespace: string, registries: readonly Registry[]): Promise<UnavailableHost[]>;
  /**
   * Renews the namespace's Secret: fetches new tokens and stores each that should replace the stored one. Writes a Secret
   * again that was deleted or that another writer changed. Resolves when this is done or has failed, or after `maxWaitMs`, so
   * that an endpoint that does not respond delays no other; a token that arrives later is stored then. Removes hosts that rules
   * deny to the namespace.
   * @returns the hosts without a fresh token, and why (`pending` if ECR has not responded yet); a denied host only if it could
   *   not be removed
   */
  renew(namespace: string, registries: readonly Registry[]): Promise<UnavailableHost[]>;
  /**
   * Resolves when nothing remains to be written. This includes waiting for a token up to `maxWaitMs`, and the delay before a
   * retry, although no call to the API server is in flight then.
   */
  waitUntilIdle(): Promise<void>;
  /** Reads the namespace's Secret into the cache. Rejects with KubeError. */
  refreshCache(namespace: string): Promise<CachedSecret | undefined>;
}

/** Which hosts a write is for. */
interface WriteOptions {
  /** Hosts that may be added to an intact Secret that does not name them. */
  readonly addableHosts: ReadonlySet<string>;
  /** Whether a pod requested the hosts. If not, they are only being renewed. */
  readonly isRequested: boolean;
  /** Hosts that the write is to remove, because rules deny them to the namespace. */
  readonly denied?: readonly DeniedHost[];
}

/** Creates the only component of the running program that writes pull Secrets for pods and renewals. */
export function createPullSecrets(dependencies: PullSecretsDependencies): PullSecrets {
  return new PullSecretWriter(dependencies);
}

class PullSecretWriter implements PullSecrets {
  readonly #dependencies: PullSecretsDependencies;
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #write: ReturnType<typeof coalesceWrites>;

  constructor(dependencies: PullSecretsDependencies) {
    const { rules } = dependencies;
    this.#dependencies = dependencies;
    this.#write = coalesceWrites(
      async (namespace, desired, addableHosts) =>
        isUpToDate(namespace, this.#syncedSecret(namespace), desired, rules)
          ? []
          : await mergeIntoSecret(namespace, desired, dependencies, addableHosts),
      (namespace, host, token) => this.#isApplicable(namespace, host, token),
    );
  }

  hasFreshTokens(namespace: string, registries: readonly Registry[]): boolean {
    const { rules } = this.#dependencies;
    const secret = this.#syncedSecret(namespace);
    if (secret?.isManaged !== true) {
      return false;
    }
    const isAllowed = ({ host }: Registry) => rules.identityOf(namespace, host).access !== 'denied';
    return (
      registries.every((one) => determineNeed(one.host, secret, rules) === 'nothing' || !isAllowed(one)) &&
      (registries.length === 0 || registries.some(isAllowed))
    );
  }

  async ensure(namespace: string, requested: readonly Registry[]): Promise<UnavailableHost[]> {
    const { allowed, denied } = this.#splitDenied(namespace, requested);
    const unavailable = allowed.length === 0 ? [] : await this.#ensureAllowed(namespace, allowed);
    return [...denied.map(deniedHost), ...unavailable];
  }

  async #ensureAllowed(namespace: string, registries: readonly Registry[]): Promise<UnavailableHost[]> {
    const { dropPolicy, getToken, log, rules, store } = this.#dependencies;
    dropPolicy?.recordRequested(namespace, registries);
    const secret = this.#syncedSecret(namespace);
    if (secret !== undefined && !secret.isManaged) {
      const failures = registries.map(({ host }) => unmanagedSecretHost(host, store.name));
      if (isBlockingSecret(secret)) {
        this.#recordFailure(namespace, failures, true);
      }
      return failures;
    }
    const withNeed = (need: TokenNeed) =>
      registries.filter(({ host }) => determineNeed(host, secret, rules) === need);
    const [toRenew, withoutToken, withoutCapacity] = [
      withNeed('renewal'),
      withNeed('token'),
      withNeed('capacity'),
    ];
    if (toRenew.length > 0) {
      this.renew(namespace, toRenew).catch((error: unknown) =>
        log.error({ namespace, err: error }, 'renewal failed with an unexpected error'),
      );
    }
    const canDrop = withoutCapacity.length > 0 && dropPolicy?.canDrop(namespace) === true;
    const toFetch = canDrop ? [...withoutToken, ...withoutCapacity] : withoutToken;
    const refusedHosts = canDrop ? [] : withoutCapacity.map(({ host }) => host);
    dropPolicy?.recordRefused(namespace, refusedHosts);
    const options = { addableHosts: new Set(toFetch.map(({ host }) => host)), isRequested: true };
    const unavailable =
      toFetch.length > 0
        ? await this.#track(
            this.#fetchAndStore(namespace, toFetch, (registry) => getToken(namespace, registry), options),
          )
        : [];
    return [...refusedHosts.map(secretFullHost), ...unavailable];
  }

  async renew(namespace: string, planned: readonly Registry[]): Promise<UnavailableHost[]> {
    const { secretCache, getToken, fetchNewToken } = this.#dependencies;
    const { allowed: registries, denied } = this.#splitDenied(namespace, planned);
    const stored = secretCache.get(namespace)?.hosts;
    // A stored host that is removed from the Secret during the renewal is not added again.
    const addableHosts = new Set(
      registries.map(({ host }) => host).filter((host) => stored?.has(host) !== true),
    );
    const fetchToken = (registry: Registry) => {
      const lifetime = stored?.get(registry.host);
      // With no token to replace, a cached one is enough, so that a deleted namespace causes no call to ECR.
      return lifetime === undefined
        ? getToken(namespace, registry)
        : fetchNewToken(namespace, registry, lifetime.expiresAt);
    };
    const options = { addableHosts, isRequested: false, denied };
    const missing = await this.#track(this.#fetchAndStore(namespace, registries, fetchToken, options));
    const stale = registries.flatMap(
      (registry) =>
        missing.find(({ host }) => host === registry.host) ?? this.#findStale(namespace, registry) ?? [],
    );
    const notRemoved = missing.filter(({ host }) => denied.some((other) => other.host === host));
    return [...stale.filter((unavailable) => !isDenied(unavailable)), ...notRemoved];
  }

  async waitUntilIdle(): Promise<void> {
    while (this.#inFlight.size > 0) {
      await Promise.allSettled(this.#inFlight);
    }
  }

  async refreshCache(namespace: string): Promise<CachedSecret | undefined> {
    const { store, secretCache } = this.#dependencies;
    const secret = await store.read(namespace);
    if (secret !== undefined) {
      secretCache.updateFromRead(secret, isManagedSecret(secret));
    }
    return secret === undefined ? undefined : secretCache.get(namespace);
  }

  /** The cached Secret, or undefined while the cache may be out of date. */
  #syncedSecret(namespace: string): CachedSecret | undefined {
    return this.#dependencies.hasSynced() ? this.#dependencies.secretCache.get(namespace) : undefined;
  }

  #splitDenied(namespace: string, registries: readonly Registry[]) {
    const { rules } = this.#dependencies;
    return splitDenied(registries, ({ host }) => getDenyingRule(rules.identityOf(namespace, host)));
  }

  /** Whether the identity that fetched a token is the one that applies now. */
  #isApplicable(namespace: string, host: string, token: Token): boolean {
    return isOfIdentity(token.identity, this.#dependencies.rules.identityOf(namespace, host));
  }

  #track<T>(task: Promise<T>): Promise<T> {
    const done = () => this.#inFlight.delete(task);
    this.#inFlight.add(task);
    task.then(done, done);
    return task;
  }

  /** Why a host has no fresh token although nothing failed during its renewal; undefined if its token is fresh. */
  #findStale(namespace: string, registry: Registry): UnavailableHost | undefined {
    const { secretCache, rules, lastError } = this.#dependencies;
    const lifetime = secretCache.get(namespace)?.hosts.get(registry.host);
    if (lifetime !== undefined && rules.isFresh(lifetime)) {
      return undefined;
    }
    const failure = lastError(namespace, registry);
    return failure === undefined ? staleHost(registry.host) : failedHost(registry.host, failure);
  }

  /** Fetches tokens. Stores those that arrive within `maxWaitMs` together, and each later one when it arrives. */
  async #fetchAndStore(
    namespace: string,
    registries: readonly Registry[],
    fetchToken: (registry: Registry) => Promise<Token>,
    options: WriteOptions,
  ): Promise<UnavailableHost[]> {
    const fetches = registries.map((registry) => ({
      host: registry.host,
      result: tryFetchToken(registry, fetchToken),
    }));
    const inTime = await settleWithTimeout(this.#dependencies.maxWaitMs, fetches);
    for (const [index, { host, result }] of fetches.entries()) {
      if (inTime[index]?.unavailable?.code === 'pending') {
        void result.then(({ token }) =>
          token === undefined ? [] : this.#track(this.#store(namespace, new Map([[host, token]]), options)),
        );
      }
    }
    const missing = inTime.flatMap(({ unavailable }) => unavailable ?? []);
    const tokens = new Map(inTime.map(({ host, token }) => [host, token]));
    const notStored = await this.#store(namespace, tokens, options);
    return [...notStored, ...missing.filter(({ host }) => notStored.every((other) => other.host !== host))];
  }

  async #store(
    namespace: string,
    tokens: DesiredHosts,
    { addableHosts, isRequested, denied = [] }: WriteOptions,
  ): Promise<UnavailableHost[]> {
    const { unstored, dropPolicy, log } = this.#dependencies;
    try {
      const refused = (await this.#write(namespace, tokens, addableHosts)).filter((host) => tokens.has(host));
      const notStored = [...refused.map(secretFullHost), ...this.#findInapplicable(namespace, tokens)];
      unstored?.remove(namespace, tokens.keys());
      dropPolicy?.recordRefused(namespace, refused);
      return notStored;
    } catch (error) {
      const hosts = [...tokens.keys(), ...denied.map(({ host }) => host)];
      log.warn({ namespace, hosts, err: error }, 'failed to write the pull Secret');
      const failures = hosts.map((host) => failedHost(host, error));
      this.#recordFailure(namespace, failures, isRequested);
      return failures;
    }
  }

  /** The hosts whose tokens were not stored, because their identities no longer apply, or because rules now deny the hosts. */
  #findInapplicable(namespace: string, tokens: DesiredHosts): UnavailableHost[] {
    const { rules } = this.#dependencies;
    const denied = findDeniedHosts(namespace, tokens.keys(), rules);
    const outdated = [...tokens].filter(
      ([host, token]) =>
        token !== undefined &&
        !this.#isApplicable(namespace, host, token) &&
        denied.every((other) => other.host !== host),
    );
    return [...denied.map(deniedHost), ...outdated.map(([host]) => identityChangedHost(host))];
  }

  /** Keeps hosts whose write failed, except those that the Secret already names, because renewal handles these. */
  #recordFailure(namespace: string, failures: readonly UnavailableHost[], isRequested: boolean): void {
    const { unstored, secretCache } = this.#dependencies;
    const [first] = failures;
    if (first === undefined || unstored === undefined) {
      return;
    }
    if (isGone(first.code)) {
      unstored.forget(namespace);
    } else if (isRequested) {
      const secret = secretCache.get(namespace);
      const isNamed = (host: string) => secret?.isManaged === true && secret.hosts.has(host);
      const hosts = failures.map(({ host }) => host).filter((host) => !isNamed(host));
      unstored.add(namespace, hosts, toWriteFailure(first));
    } else {
      unstored.recordFailure(namespace, toWriteFailure(first));
    }
  }
}

/** The result of fetching one registry's token. */
interface FetchResult {
  readonly host: string;
  readonly token?: Token;
  /** Why there is no token. */
  readonly unavailable?: UnavailableHost;
}

/** Fetches a registry's token. Never rejects: a failure is part of the result. */
async function tryFetchToken(
  registry: Registry,
  fetchToken: (registry: Registry) => Promise<Token>,
): Promise<FetchResult> {
  try {
    return { host: registry.host, token: await fetchToken(registry) };
  } catch (error) {
    return { host: registry.host, unavailable: failedHost(registry.host, error) };
  }
}

/** Waits for all results, but not longer than `ms`. A fetch that is not done by then continues, and its result is `pending`. */
async function settleWithTimeout(
  ms: number,
  fetches: readonly { host: string; result: Promise<FetchResult> }[],
): Promise<FetchResult[]> {
  return await Promise.all(
    fetches.map(({ host, result }) =>
      waitAtMost(ms, result, (): FetchResult => ({ host, unavailable: pendingHost(host) })),
    ),
  );
}
