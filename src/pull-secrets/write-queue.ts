import type { Token } from '../ecr/token.ts';
import type { Wanted } from './merge.ts';

interface Turn {
  readonly wanted: Map<string, Token | undefined>;
  readonly mayAdd: Set<string>;
  started: boolean;
  done: Promise<readonly string[]>;
}

/**
 * One write at a time in a namespace: whatever comes while one is under way waits together for the next, so that any
 * number of pods at the same moment cost two writes at most. Namespaces do not wait for each other.
 * @param write gets the hosts that one of the callers lets it add; see writeUnion
 */
export function coalesced(
  write: (namespace: string, wanted: Wanted, mayAdd: ReadonlySet<string>) => Promise<readonly string[]>,
): (namespace: string, wanted: Wanted, mayAdd?: ReadonlySet<string>) => Promise<readonly string[]> {
  const last = new Map<string, Turn>();
  return (namespace, wanted, mayAdd = new Set(wanted.keys())) => {
    const waiting = last.get(namespace);
    if (waiting !== undefined && !waiting.started) {
      add(waiting.wanted, wanted);
      for (const host of ofThese(wanted, mayAdd)) {
        waiting.mayAdd.add(host);
      }
      return waiting.done;
    }
    const turn: Turn = {
      wanted: new Map(wanted),
      mayAdd: new Set(ofThese(wanted, mayAdd)),
      started: false,
      done: Promise.resolve([]),
    };
    const before = waiting?.done ?? Promise.resolve();
    turn.done = before
      .catch(() => undefined) // whoever asked for that one was told
      .then(() => {
        turn.started = true;
        return write(namespace, turn.wanted, turn.mayAdd);
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

/** A caller speaks for its own hosts only. */
function ofThese(wanted: Wanted, mayAdd: ReadonlySet<string>): string[] {
  return [...wanted.keys()].filter((host) => mayAdd.has(host));
}

function add(to: Map<string, Token | undefined>, wanted: Wanted): void {
  for (const [host, token] of wanted) {
    const there = to.get(host);
    if (there === undefined || (token !== undefined && token.expiresAt > there.expiresAt)) {
      to.set(host, token);
    }
  }
}
