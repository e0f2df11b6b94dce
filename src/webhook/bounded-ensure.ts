// Ensures the tokens of a pod within bounds: a timeout, and a maximum number of hosts that are pending at once.
import type { Registry } from '../ecr/registry.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import type { Log } from '../telemetry/log.ts';
import { waitAtMost } from '../util/timeout.ts';

export interface BoundedEnsureDependencies {
  readonly pullSecrets: Pick<PullSecrets, 'hasFreshTokens' | 'ensure'>;
  readonly log: Log;
}

/** Counts the hosts that are being ensured, in all and per namespace. */
export class PendingHostCounter {
  readonly #max: number;
  readonly #maxPerNamespace: number;
  readonly #byNamespace = new Map<string, number>();
  #total = 0;

  constructor(max: number, maxPerNamespace: number) {
    this.#max = max;
    this.#maxPerNamespace = maxPerNamespace;
  }

  /** @returns false if a maximum would be exceeded; the hosts are not counted then */
  tryAdd(namespace: string, hosts: number): boolean {
    const inNamespace = (this.#byNamespace.get(namespace) ?? 0) + hosts;
    if (inNamespace > this.#maxPerNamespace || this.#total + hosts > this.#max) {
      return false;
    }
    this.#byNamespace.set(namespace, inNamespace);
    this.#total += hosts;
    return true;
  }

  /** Subtracts what `tryAdd` counted. */
  remove(namespace: string, hosts: number): void {
    const remaining = (this.#byNamespace.get(namespace) ?? 0) - hosts;
    if (remaining > 0) {
      this.#byNamespace.set(namespace, remaining);
    } else {
      this.#byNamespace.delete(namespace);
    }
    this.#total -= hosts;
  }
}

/**
 * Ensures the tokens of a namespace for at most `timeoutMs`. The work continues after that, and the log shows its error.
 * @returns the hosts without a token, and why
 * @throws what `ensure` rejects with before the timeout
 */
export async function ensureWithTimeout(
  timeoutMs: number,
  namespace: string,
  registries: readonly Registry[],
  { pullSecrets, log }: BoundedEnsureDependencies,
  pendingHosts: PendingHostCounter,
): Promise<UnavailableHost[]> {
  if (!pendingHosts.tryAdd(namespace, registries.length)) {
    return registries.map(({ host }) => createOverloadedHost(host));
  }
  const ensure = async () => await pullSecrets.ensure(namespace, registries);
  const ensuring = ensure().finally(() => pendingHosts.remove(namespace, registries.length));
  const result = await waitAtMost(timeoutMs, ensuring, () => 'timeout' as const);
  if (result !== 'timeout') {
    return [...result];
  }
  ensuring.catch((error: unknown) => log.error({ namespace, err: error }, 'failed to ensure a pull Secret'));
  return registries
    .filter((registry) => !pullSecrets.hasFreshTokens(namespace, [registry]))
    .map(({ host }) => createTimedOutHost(host));
}

function createOverloadedHost(host: string): UnavailableHost {
  return { host, code: 'overloaded', text: 'too many pending requests; recreate the pod' };
}

function createTimedOutHost(host: string): UnavailableHost {
  return { host, code: 'deadline-exceeded', text: 'timed out; still in progress' };
}
