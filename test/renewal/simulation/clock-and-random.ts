export const secondMs = 1_000;
export const minuteMs = 60 * secondMs;
export const hourMs = 60 * minuteMs;

/** The time as it is. Moves only when told to; all in ms. */
export class SimulatedClock {
  readonly start: number;
  #elapsed = 0;

  /** @param start ms since the epoch */
  constructor(start: number) {
    this.start = start;
  }

  /** Since the start. */
  get elapsed(): number {
    return this.#elapsed;
  }

  /** Since the epoch. */
  readonly now = (): number => this.start + this.#elapsed;

  advance(ms: number): void {
    this.#elapsed += ms;
  }
}

/** The clocks of one machine, which may be wrong. */
export class MachineClock {
  readonly #time: SimulatedClock;
  #stepped = 0;
  #slept = 0;
  #asleepSince: number | undefined;

  constructor(time: SimulatedClock) {
    this.#time = time;
  }

  /** Since the epoch, as this machine believes. */
  readonly wallMs = (): number => this.#time.now() + this.#stepped;

  /** Is never set, and stands still while the machine is suspended, as CLOCK_MONOTONIC does. */
  readonly monotonicMs = (): number => (this.#asleepSince ?? this.#time.elapsed) - this.#slept;

  /** Somebody sets the wall clock. */
  step(ms: number): void {
    this.#stepped += ms;
  }

  suspend(): void {
    this.#asleepSince = this.#time.elapsed;
  }

  resume(): void {
    this.#slept += this.#time.elapsed - (this.#asleepSince ?? this.#time.elapsed);
    this.#asleepSince = undefined;
  }
}

/** Chance that comes out the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number in [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** One of them; throws where there is none. */
  pick<T>(from: readonly T[]): T {
    const one = from[Math.floor(this.next() * from.length)];
    if (one === undefined) {
      throw new Error('nothing to pick from');
    }
    return one;
  }
}
