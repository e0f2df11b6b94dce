// Allows one write at a time in each namespace and merges the requests that arrive meanwhile.
import type { Token } from '../ecr/token.ts';
import type { DesiredHosts } from './merge.ts';

interface PendingWrite {
  readonly desired: Map<string, Token | undefined>;
  readonly addableHosts: Set<string>;
  started: boolean;
  result: Promise<readonly string[]>;
}

/** Whether the identity that fetched a token is the one that applies now. */
type IsApplicable = (namespace: string, host: string, token: Token) => boolean;

/**
 * Wraps `write` so that one call at a time is in flight in a namespace. All requests that arrive in the meantime share the
 * next call, so that any number of simultaneous pods cause two writes at most. Namespaces do not wait for each other.
 * @param write its `addableHosts` are the hosts that at least one caller requested and allowed to be added; see
 *   `mergeIntoSecret`
 * @param isApplicable of two tokens for a host, one that applies is written, and of two such tokens the one that expires later
 */
export function coalesceWrites(
  write: (
    namespace: string,
    desired: DesiredHosts,
    addableHosts: ReadonlySet<string>,
  ) => Promise<readonly string[]>,
  isApplicable: IsApplicable = () => true,
): (
  namespace: string,
  desired: DesiredHosts,
  addableHosts?: ReadonlySet<string>,
) => Promise<readonly string[]> {
  const lastWrites = new Map<string, PendingWrite>();
  return (namespace, desired, addableHosts = new Set(desired.keys())) => {
    const queued = lastWrites.get(namespace);
    if (queued !== undefined && !queued.started) {
      mergeTokens(queued.desired, desired, (host, token) => isApplicable(namespace, host, token));
      for (const host of selectAddable(desired, addableHosts)) {
        queued.addableHosts.add(host);
      }
      return queued.result;
    }
    const pending: PendingWrite = {
      desired: new Map(desired),
      addableHosts: new Set(selectAddable(desired, addableHosts)),
      started: false,
      result: Promise.resolve([]),
    };
    const previous = queued?.result ?? Promise.resolve();
    pending.result = previous
      .catch(() => undefined) // Its callers have already received the error.
      .then(() => {
        pending.started = true;
        return write(namespace, pending.desired, pending.addableHosts);
      })
      .finally(() => {
        if (lastWrites.get(namespace) === pending) {
          lastWrites.delete(namespace);
        }
      });
    lastWrites.set(namespace, pending);
    return pending.result;
  };
}

/** A caller can allow only hosts that it requests. */
function selectAddable(desired: DesiredHosts, addableHosts: ReadonlySet<string>): string[] {
  return [...desired.keys()].filter((host) => addableHosts.has(host));
}

function mergeTokens(
  target: Map<string, Token | undefined>,
  desired: DesiredHosts,
  isApplicable: (host: string, token: Token) => boolean,
): void {
  for (const [host, token] of desired) {
    const existing = target.get(host);
    if (existing === undefined || (token !== undefined && isBetter(host, token, existing))) {
      target.set(host, token);
    }
  }

  function isBetter(host: string, token: Token, existing: Token): boolean {
    return (
      isApplicable(host, token) && (!isApplicable(host, existing) || token.expiresAt > existing.expiresAt)
    );
  }
}
