import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from '../images/registry.ts';
import type { Token } from '../tokens/token.ts';
import { failed, pending, type Shortfall } from './shortfall.ts';

/** How asking for one registry's token ended. */
export interface Fetched {
  readonly host: string;
  readonly token?: Token;
  /** Why there is no token. */
  readonly shortfall?: Shortfall;
}

/** Asks for a registry's token; a failure is a result. */
export async function fetched(
  registry: Registry,
  token: (registry: Registry) => Promise<Token>,
): Promise<Fetched> {
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
export async function settledWithin(
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
