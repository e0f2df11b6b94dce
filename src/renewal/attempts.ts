import { retryMs } from '../backoff.ts';
import type { Shortfall } from '../secrets/shortfall.ts';
import type { Due, DueKind, Trouble } from './plan.ts';

interface Attempt extends Trouble {
  readonly inARow: number;
}

/** A Secret that is mended again and again within this time is mended less and less often, ms. */
const quarrelMs = 3_600_000;

/**
 * What came of the last try in each namespace, for each kind of hosts, where that says when to try again: hosts that never
 * had a token do not make those with one wait. Failures of a region's token call
 * are not kept here: the tokens room remembers those for all namespaces at once.
 */
export class Attempts {
  readonly #last = new Map<string, Attempt>();

  get(namespace: string, kind: DueKind): Trouble | undefined {
    return this.#last.get(keyOf(namespace, kind));
  }

  /**
   * @param own what kept hosts from being renewed in this namespace alone; none: all went well
   * @param now the wall clock in ms
   * @param random a number in [0, 1)
   */
  note({ namespace, kind, reason }: Due, own: readonly Shortfall[], now: number, random: number): void {
    const key = keyOf(namespace, kind);
    const before = this.#last.get(key);
    const [why] = own;
    const mended = why === undefined && (reason === 'edited' || reason === 'deleted');
    if (why === undefined && !mended) {
      this.#last.delete(key);
      return;
    }
    const lasts = before !== undefined && (!mended || now - before.at < quarrelMs);
    const inARow = (lasts ? before.inARow : 0) + 1;
    this.#last.set(key, {
      code: why?.code ?? 'mended',
      permanent: why !== undefined && permanent.has(why.code),
      message: why === undefined ? 'somebody else keeps changing the Secret' : (why.message ?? why.text),
      since: lasts ? Math.min(before.since, now) : now,
      at: now,
      retryAt: now + retryMs(inARow, random),
      inARow,
    });
  }

  forget(namespace: string): void {
    this.#last.delete(keyOf(namespace, 'valid'));
    this.#last.delete(keyOf(namespace, 'missing'));
  }
}

function keyOf(namespace: string, kind: DueKind): string {
  return `${kind}/${namespace}`;
}

/** What a person has to change before another try can succeed. */
const permanent: ReadonlySet<string> = new Set([
  'foreign-secret',
  'secret-full',
  'forbidden',
  'unauthorized',
  'invalid',
]);
