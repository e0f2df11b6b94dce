import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from '../ecr/registry.ts';
import type { Token } from '../ecr/token.ts';
import { isOurs, type WriteParts, writeUnion } from './apply.ts';
import { isObstacle } from './cached-secret.ts';
import { type Need, type NeedRules, needOf, reflects } from './host-needs.ts';
import type { Room } from './host-removal.ts';
import type { KnownSecret } from './secret-cache.ts';
import {
  failed,
  foreignSecret,
  isGone,
  notFresh,
  pending,
  type Shortfall,
  secretFull,
} from './unavailable-host.ts';
import { type UnstoredHosts, writeFailure } from './unstored-hosts.ts';
import { coalesced } from './write-queue.ts';

export interface EnsureParts extends WriteParts {
  readonly rules: NeedRules;
  /** Makes room in full Secrets; without it, they stay full. */
  readonly room?: Pick<Room, 'requested' | 'mayTry' | 'droppable' | 'refused'>;
  /** Keeps hosts whose write failed, for renewal to try again; without it, they are only reported. */
  readonly unstored?: UnstoredHosts;
  /** Whether the view may be believed without asking the API server. */
  inSync(): boolean;
  token(namespace: string, registry: Registry): Promise<Token>;
  /**
   * A token with nearly its whole life left; where none can be had, the best there is, or a rejection.
   * @param endsAt when the stored token ends, in ms: the closer, the sooner a failed call may be made again
   */
  newToken(namespace: string, registry: Registry, endsAt: number): Promise<Token>;
  /** Why the last call for a registry failed; undefined: it did not. */
  failure(registry: Registry): Error | undefined;
  /** How long to wait for ECR before the Secret is written with the tokens that are there by then, in ms. */
  readonly patienceMs: number;
}

/** What admission asks for, and later renewal and provisioning. */
export interface PullSecrets {
  /** Whether the namespace's Secret is known to hold fresh tokens for all of these. Does no I/O. */
  covers(namespace: string, registries: readonly Registry[]): boolean;
  /**
   * Makes the namespace's Secret hold a token for each registry, or at least name the host as one to be filled in.
   * Comes back when that is done or has failed, or when ECR takes too long; what is not done by then goes on. A token
   * that is good enough for now is renewed behind the answer. Hosts whose write failed are kept until they are stored.
   * @returns the hosts without a living token, and why; none: all is well
   */
  ensure(namespace: string, registries: readonly Registry[]): Promise<Shortfall[]>;
  /**
   * Renews the namespace's Secret: asks for new tokens and stores each that takes the place of another. Writes a Secret
   * anew that is gone, or that somebody else has changed. Comes back when that is done or has failed, or when ECR takes too
   * long, so that one endpoint that hangs delays no other; a token that arrives later is stored then.
   * @returns the hosts whose tokens are not fresh now, and why (`pending`: ECR has not answered yet); none: all is well
   */
  renew(namespace: string, registries: readonly Registry[]): Promise<Shortfall[]>;
  /**
   * Resolves when nothing that was begun has still to be written. Waiting for a token, as long as a caller would, and between
   * two tries counts, although no call to the API server is in flight then.
   */
  settled(): Promise<void>;
  /** Reads the namespace's Secret into the view. Rejects with KubeError. */
  look(namespace: string): Promise<KnownSecret | undefined>;
}

/** The only writer of Secrets. */
export function pullSecrets(parts: EnsureParts): PullSecrets {
  const { rules, log } = parts;
  const known = (namespace: string) => (parts.inSync() ? parts.view.get(namespace) : undefined);
  const write = coalesced(async (namespace, wanted, mayAdd) =>
    reflects(known(namespace), wanted, rules) ? [] : await writeUnion(namespace, wanted, parts, mayAdd),
  );

  const inFlight = new Set<Promise<unknown>>();

  function tracked<T>(work: Promise<T>): Promise<T> {
    const done = () => inFlight.delete(work);
    inFlight.add(work);
    work.then(done, done);
    return work;
  }

  /**
   * Keeps hosts whose write failed, unless the Secret names them: those are renewed anyway.
   * @param requested whether a pod wants them, or they were only to be renewed
   */
  function noteFailure(namespace: string, failures: readonly Shortfall[], requested: boolean): void {
    const { unstored, view } = parts;
    const [first] = failures;
    if (first === undefined || unstored === undefined) {
      return;
    }
    if (isGone(first.code)) {
      unstored.forget(namespace);
    } else if (requested) {
      const secret = view.get(namespace);
      const isNamed = (host: string) => secret?.ours === true && secret.hosts.has(host);
      const hosts = failures.map(({ host }) => host).filter((host) => !isNamed(host));
      unstored.requested(namespace, hosts, writeFailure(first));
    } else {
      unstored.failedAgain(namespace, writeFailure(first));
    }
  }

  /** @param requested see {@link noteFailure} */
  async function store(
    namespace: string,
    tokens: ReadonlyMap<string, Token | undefined>,
    mayAdd: ReadonlySet<string>,
    requested: boolean,
  ): Promise<Shortfall[]> {
    try {
      const refused = (await write(namespace, tokens, mayAdd)).filter((host) => tokens.has(host));
      parts.unstored?.remove(namespace, tokens.keys());
      parts.room?.refused(namespace, refused);
      return refused.map(secretFull);
    } catch (error) {
      log.warn({ namespace, hosts: [...tokens.keys()], err: error }, 'pull Secret not written');
      const failures = [...tokens.keys()].map((host) => failed(host, error));
      noteFailure(namespace, failures, requested);
      return failures;
    }
  }

  /**
   * Fetches tokens, and stores those that arrive in time together and each later one by itself.
   * @param mayAdd hosts that are added to an intact Secret that does not name them
   * @param requested see {@link noteFailure}
   */
  async function fetchAndStore(
    namespace: string,
    registries: readonly Registry[],
    fetchToken: (registry: Registry) => Promise<Token>,
    mayAdd: ReadonlySet<string>,
    requested: boolean,
  ): Promise<Shortfall[]> {
    const fetches = registries.map((registry) => ({
      host: registry.host,
      result: fetched(registry, fetchToken),
    }));
    const inTime = await settledWithin(parts.patienceMs, fetches);
    for (const [index, { host, result }] of fetches.entries()) {
      if (inTime[index]?.shortfall?.code === 'pending') {
        void result.then(({ token }) =>
          token === undefined ? [] : tracked(store(namespace, new Map([[host, token]]), mayAdd, requested)),
        );
      }
    }
    const missing = inTime.flatMap(({ shortfall }) => shortfall ?? []);
    const tokens = new Map(inTime.map(({ host, token }) => [host, token]));
    const notStored = await store(namespace, tokens, mayAdd, requested);
    return [...notStored, ...missing.filter(({ host }) => notStored.every((other) => other.host !== host))];
  }

  async function renew(namespace: string, registries: readonly Registry[]): Promise<Shortfall[]> {
    const stored = parts.view.get(namespace)?.hosts;
    // a host that has left the Secret since then stays out
    const mayAdd = new Set(registries.map(({ host }) => host).filter((host) => stored?.has(host) !== true));
    const fetchToken = (registry: Registry) => {
      const life = stored?.get(registry.host);
      // where there is none to replace, the remembered one will do: a deleted namespace costs no call
      return life === undefined
        ? parts.token(namespace, registry)
        : parts.newToken(namespace, registry, life.expiresAt);
    };
    const missing = await tracked(fetchAndStore(namespace, registries, fetchToken, mayAdd, false));
    return registries.flatMap((registry) => {
      const { host } = registry;
      const life = parts.view.get(namespace)?.hosts.get(host);
      const why = missing.find((other) => other.host === host);
      if (why !== undefined || (life !== undefined && rules.isFresh(life))) {
        return why ?? [];
      }
      const failure = parts.failure(registry);
      return failure === undefined ? notFresh(host) : failed(host, failure);
    });
  }

  return {
    renew,
    settled: async () => {
      while (inFlight.size > 0) {
        await Promise.allSettled(inFlight);
      }
    },
    look: async (namespace) => {
      const secret = await parts.store.read(namespace);
      if (secret !== undefined) {
        parts.view.learn(secret, isOurs(secret));
      }
      return secret === undefined ? undefined : parts.view.get(namespace);
    },
    covers: (namespace, registries) => {
      const secret = known(namespace);
      return (
        secret?.ours === true && registries.every(({ host }) => needOf(host, secret, rules) === 'nothing')
      );
    },
    ensure: async (namespace, registries) => {
      parts.room?.requested(namespace, registries);
      const secret = known(namespace);
      if (secret !== undefined && !secret.ours) {
        const failures = registries.map(({ host }) => foreignSecret(host));
        if (isObstacle(secret)) {
          noteFailure(namespace, failures, true);
        }
        return failures;
      }
      const needing = (need: Need) => registries.filter(({ host }) => needOf(host, secret, rules) === need);
      const [renewal, token, room] = [needing('renewal'), needing('token'), needing('room')];
      if (renewal.length > 0) {
        renew(namespace, renewal).catch((error: unknown) =>
          log.error({ namespace, err: error }, 'renewal failed'),
        );
      }
      const roomMayBeMade = room.length > 0 && parts.room?.mayTry(namespace) === true;
      const toFill = roomMayBeMade ? [...token, ...room] : token;
      const closed = roomMayBeMade ? [] : room.map(({ host }) => host);
      parts.room?.refused(namespace, closed);
      const fetchToken = (registry: Registry) => parts.token(namespace, registry);
      const mayAdd = new Set(toFill.map(({ host }) => host));
      const filled =
        toFill.length > 0 ? await tracked(fetchAndStore(namespace, toFill, fetchToken, mayAdd, true)) : [];
      return [...closed.map(secretFull), ...filled];
    },
  };
}

/** How asking for one registry's token ended. */
interface Fetched {
  readonly host: string;
  readonly token?: Token;
  /** Why there is no token. */
  readonly shortfall?: Shortfall;
}

/** Asks for a registry's token; a failure is a result. */
async function fetched(registry: Registry, token: (registry: Registry) => Promise<Token>): Promise<Fetched> {
  try {
    return { host: registry.host, token: await token(registry) };
  } catch (error) {
    return { host: registry.host, shortfall: failed(registry.host, error) };
  }
}

/**
 * Waits for all of them, but no longer than `ms`: what has not ended by then is told as a shortfall `pending` in its
 * place, and goes on.
 */
async function settledWithin(
  ms: number,
  fetches: readonly { host: string; result: Promise<Fetched> }[],
): Promise<Fetched[]> {
  const done = new AbortController();
  const timeout = sleep(ms, undefined, { signal: done.signal }).catch(() => undefined);
  const settled = await Promise.all(
    fetches.map(({ host, result }) =>
      Promise.race([result, timeout.then(() => ({ host, shortfall: pending(host) }))]),
    ),
  );
  done.abort();
  return settled;
}
