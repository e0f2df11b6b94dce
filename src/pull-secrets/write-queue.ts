import type { Token } from '../ecr/token.ts';
import type { DesiredHosts } from './merge.ts';

interface PendingWrite {
  readonly wanted: Map<string, Token | undefined>;
  readonly addableHosts: Set<string>;
  started: boolean;
  result: Promise<readonly string[]>;
}

/**
 * One write at a time in a namespace: whatever comes while one is under way waits together for the next, so that any
 * number of pods at the same moment cost two writes at most. Namespaces do not wait for each other.
 * @param write gets the hosts that one of the callers lets it add; see writeUnion
 */
export function coalesceWrites(
  write: (
    namespace: string,
    wanted: DesiredHosts,
    addableHosts: ReadonlySet<string>,
  ) => Promise<readonly string[]>,
): (
  namespace: string,
  wanted: DesiredHosts,
  addableHosts?: ReadonlySet<string>,
) => Promise<readonly string[]> {
  const lastWrites = new Map<string, PendingWrite>();
  return (namespace, wanted, addableHosts = new Set(wanted.keys())) => {
    const queued = lastWrites.get(namespace);
    if (queued !== undefined && !queued.started) {
      mergeTokens(queued.wanted, wanted);
      for (const host of selectAddable(wanted, addableHosts)) {
        queued.addableHosts.add(host);
      }
      return queued.result;
    }
    const pending: PendingWrite = {
      wanted: new Map(wanted),
      addableHosts: new Set(selectAddable(wanted, addableHosts)),
      started: false,
      result: Promise.resolve([]),
    };
    const previous = queued?.result ?? Promise.resolve();
    pending.result = previous
      .catch(() => undefined) // whoever asked for that one was told
      .then(() => {
        pending.started = true;
        return write(namespace, pending.wanted, pending.addableHosts);
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

/** A caller speaks for its own hosts only. */
function selectAddable(wanted: DesiredHosts, addableHosts: ReadonlySet<string>): string[] {
  return [...wanted.keys()].filter((host) => addableHosts.has(host));
}

function mergeTokens(target: Map<string, Token | undefined>, wanted: DesiredHosts): void {
  for (const [host, token] of wanted) {
    const existing = target.get(host);
    if (existing === undefined || (token !== undefined && token.expiresAt > existing.expiresAt)) {
      target.set(host, token);
    }
  }
}
