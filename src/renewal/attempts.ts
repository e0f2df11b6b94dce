import { retryMs } from '../backoff.ts';
import type { Shortfall } from '../secrets/shortfall.ts';
import type { Due, Trouble } from './plan.ts';

interface Attempt extends Trouble {
  readonly inARow: number;
}

/** A Secret that is mended again and again within this time is mended less and less often, ms. */
const quarrelMs = 3_600_000;

/**
 * What came of the last try in each namespace, where that says when to try again. Failures of a region's token call
 * are not kept here: the tokens room remembers those for all namespaces at once.
 */
export class Attempts {
  readonly #last = new Map<string, Attempt>();

  get(namespace: string): Trouble | undefined {
    return this.#last.get(namespace);
  }

  /**
   * @param own what kept hosts from being renewed in this namespace alone; none: all went well
   * @param now the wall clock in ms
   * @param random a number in [0, 1)
   */
  note({ namespace, reason }: Due, own: readonly Shortfall[], now: number, random: number): void {
    const before = this.#last.get(namespace);
    const [why] = own;
    const mended = why === undefined && (reason === 'edited' || reason === 'deleted');
    if (why === undefined && !mended) {
      this.#last.delete(namespace);
      return;
    }
    const lasts = before !== undefined && (!mended || now - before.at < quarrelMs);
    const inARow = (lasts ? before.inARow : 0) + 1;
    this.#last.set(namespace, {
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
    this.#last.delete(namespace);
  }
}

/** What a person has to change before another try can succeed. */
const permanent: ReadonlySet<string> = new Set([
  'foreign-secret',
  'secret-full',
  'forbidden',
  'unauthorized',
  'invalid',
]);
