import pLimit from 'p-limit';

/** What work needs to know of itself to get its turn. */
export interface Turn {
  /** Work of the same lane is done one after the other. */
  readonly lane: string;
  /** Work that is known to be good does not queue behind work that anybody may have asked for. */
  readonly proven: boolean;
}

/** Calls at a time; ECR allows 20 a second in one region. */
const atATime = { proven: 8, unproven: 4 };

/**
 * Gives turns to work: one at a time in a lane, and a bounded number overall. Nothing is ever cancelled, and the
 * failure of one is nothing to the next.
 */
export function turns(): <T>(turn: Turn, work: () => Promise<T>) => Promise<T> {
  const limits = { proven: pLimit(atATime.proven), unproven: pLimit(atATime.unproven) };
  const ends = new Map<string, Promise<unknown>>();
  return ({ lane, proven }, work) => {
    const limit = proven ? limits.proven : limits.unproven;
    const before = ends.get(lane) ?? Promise.resolve();
    const result = before.then(() => limit(work));
    const end = result
      .catch(() => undefined) // whoever asked for it is told
      .then(() => {
        if (ends.get(lane) === end) {
          ends.delete(lane);
        }
      });
    ends.set(lane, end);
    return result;
  };
}
