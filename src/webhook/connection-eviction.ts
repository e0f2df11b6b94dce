// Selects the connection that is closed to make room for a new one. Pure.

/** An open connection. */
export interface Connection {
  /** The client's IP address. */
  readonly address: string;
  /** When it was opened, or when its last response was sent: monotonic clock, in ms. */
  readonly idleSince: number;
  /** `handshake`: TLS is being negotiated. `receiving`: the request is incomplete. `waiting`: the request is being handled. */
  readonly phase: 'handshake' | 'idle' | 'receiving' | 'waiting';
  /** Whether the connection had a request with a successful response. */
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
 * The connection to evict: one of the client address with the most connections, so that a client that opens many loses its own
 * and not those of an API server, which has few. Among these, first a connection that never had a successful request, then an
 * idle one, then one whose request is being handled; among equals, the one that has been idle longest.
 * @param countByAddress number of connections by client address
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
