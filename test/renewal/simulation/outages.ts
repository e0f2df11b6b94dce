import type { EcrDouble } from '../../doubles/ecr/double.ts';
import type { Fault } from '../../doubles/ecr/faults.ts';
import type { SimulatedClock } from './clock.ts';

/** A time in which ECR did not give tokens in a region; true times in ms since the start. */
export interface Outage {
  readonly region: string;
  readonly fault: Fault;
  /** Somebody would have to act, as far as a caller can know: it is asked again less often. */
  readonly permanent: boolean;
  readonly from: number;
  until: number | undefined;
}

/** What is wrong with ECR, and was. */
export class Outages {
  readonly all: Outage[] = [];
  readonly #double: EcrDouble;
  readonly #time: SimulatedClock;

  constructor(double: EcrDouble, time: SimulatedClock) {
    this.#double = double;
    this.#time = time;
  }

  begin(regions: readonly string[], fault: Fault, permanent = false): void {
    const from = this.#time.elapsed;
    for (const region of regions) {
      this.all.push({ region, fault, permanent, from, until: undefined });
      this.#double.fail(fault, { region });
    }
  }

  end(regions: readonly string[]): void {
    for (const outage of this.#lasting().filter(({ region }) => regions.includes(region))) {
      outage.until = this.#time.elapsed;
    }
    this.#double.heal();
    for (const { fault, region } of this.#lasting()) {
      this.#double.fail(fault, { region });
    }
  }

  /** Since when a region answers; undefined: it does not; minus infinity: since ever. */
  answersSince(region: string): number | undefined {
    const ends = this.all.filter((one) => one.region === region).map(({ until }) => until);
    return ends.includes(undefined)
      ? undefined
      : Math.max(Number.NEGATIVE_INFINITY, ...ends.filter((until) => until !== undefined));
  }

  #lasting(): Outage[] {
    return this.all.filter(({ until }) => until === undefined);
  }
}
