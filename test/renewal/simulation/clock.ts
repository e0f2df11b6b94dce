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
  readonly wall = (): number => this.#time.now() + this.#stepped;

  /** Is never set, and stands still while the machine is suspended, as CLOCK_MONOTONIC does. */
  readonly steady = (): number => (this.#asleepSince ?? this.#time.elapsed) - this.#slept;

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
