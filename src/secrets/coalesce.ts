import type { Token } from '../tokens/token.ts';
import type { Wanted } from './content.ts';

interface Turn {
  readonly wanted: Map<string, Token | undefined>;
  started: boolean;
  done: Promise<readonly string[]>;
}

/**
 * One write at a time in a namespace: whatever comes while one is under way waits together for the next, so that any
 * number of pods at the same moment cost two writes at most. Namespaces do not wait for each other.
 */
export function coalesced(
  write: (namespace: string, wanted: Wanted) => Promise<readonly string[]>,
): (namespace: string, wanted: Wanted) => Promise<readonly string[]> {
  const last = new Map<string, Turn>();
  return (namespace, wanted) => {
    const waiting = last.get(namespace);
    if (waiting !== undefined && !waiting.started) {
      add(waiting.wanted, wanted);
      return waiting.done;
    }
    const turn: Turn = { wanted: new Map(wanted), started: false, done: Promise.resolve([]) };
    const before = waiting?.done ?? Promise.resolve();
    turn.done = before
      .catch(() => undefined) // whoever asked for that one was told
      .then(() => {
        turn.started = true;
        return write(namespace, turn.wanted);
      })
      .finally(() => {
        if (last.get(namespace) === turn) {
          last.delete(namespace);
        }
      });
    last.set(namespace, turn);
    return turn.done;
  };
}

function add(to: Map<string, Token | undefined>, wanted: Wanted): void {
  for (const [host, token] of wanted) {
    const there = to.get(host);
    if (there === undefined || (token !== undefined && token.expiresAt > there.expiresAt)) {
      to.set(host, token);
    }
  }
}
