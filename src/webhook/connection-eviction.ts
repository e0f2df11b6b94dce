// Which connection makes room for a new one. Pure.

/** What is known of an open connection. */
export interface Connection {
  /** The client's IP address. */
  readonly address: string;
  /** When it was opened or its last answer went out, by a monotonic clock, in ms. */
  readonly idleSince: number;
  /** `handshake`: TLS is being negotiated. `receiving`: a request is incomplete. `waiting`: a request is being answered. */
  readonly phase: 'handshake' | 'idle' | 'receiving' | 'waiting';
  /** Whether a request that came on it was answered with success. */
  readonly hasServed: boolean;
}

/** Connections with a lower rank are evicted first. */
function getEvictionRank({ phase, hasServed }: Connection): number {
  if (phase === 'waiting') {
    return 2;
  }
  return hasServed ? 1 : 0;
}

/**
 * The connection to evict: one of the client address that has the most connections, so that clients who open many lose their own
 * and never those of an API server that has few. Of these, first one that never served a request, then an idle one, then
 * one whose request is being answered; among equals the one that has been idle longest.
 * @param countByAddress number of connections by address
 */
export function selectConnectionToEvict<T extends Connection>(
  connections: Iterable<T>,
  countByAddress: ReadonlyMap<string, number>,
): T | undefined {
  let victim: T | undefined;
  for (const connection of connections) {
    if (victim === undefined || isEvictedBefore(connection, victim, countByAddress)) {
      victim = connection;
    }
  }
  return victim;
}

function isEvictedBefore(
  one: Connection,
  other: Connection,
  countByAddress: ReadonlyMap<string, number>,
): boolean {
  const countDifference = (countByAddress.get(one.address) ?? 0) - (countByAddress.get(other.address) ?? 0);
  if (countDifference !== 0) {
    return countDifference > 0;
  }
  const rankDifference = getEvictionRank(one) - getEvictionRank(other);
  return rankDifference !== 0 ? rankDifference < 0 : one.idleSince < other.idleSince;
}
