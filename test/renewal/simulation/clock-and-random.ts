// Clocks that only the simulation moves, and random numbers that are reproducible.
export const secondMs = 1_000;
export const minuteMs = 60 * secondMs;
export const hourMs = 60 * minuteMs;

/** The true time in ms. Moves only with {@link SimulatedClock.advance}. */
export class SimulatedClock {
  readonly start: number;
  #elapsed = 0;

  /** @param start ms since the epoch */
  constructor(start: number) {
    this.start = start;
  }

  /** Ms since the start. */
  get elapsed(): number {
    return this.#elapsed;
  }

  /** Ms since the epoch. */
  readonly now = (): number => this.start + this.#elapsed;

  advance(ms: number): void {
    this.#elapsed += ms;
  }
}

/** The clocks of one machine. The wall clock can be stepped, and the machine can be suspended. */
export class MachineClock {
  readonly #time: SimulatedClock;
  #steppedMs = 0;
  #suspendedMs = 0;
  #suspendedSince: number | undefined;

  constructor(time: SimulatedClock) {
    this.#time = time;
  }

  /** Ms since the epoch according to this machine. */
  readonly wallMs = (): number => this.#time.now() + this.#steppedMs;

  /** Stands still while the machine is suspended, as CLOCK_MONOTONIC does. */
  readonly monotonicMs = (): number => (this.#suspendedSince ?? this.#time.elapsed) - this.#suspendedMs;

  /** Sets the wall clock forward or back. */
  step(ms: number): void {
    this.#steppedMs += ms;
  }

  suspend(): void {
    this.#suspendedSince = this.#time.elapsed;
  }

  resume(): void {
    this.#suspendedMs += this.#time.elapsed - (this.#suspendedSince ?? this.#time.elapsed);
    this.#suspendedSince = undefined;
  }
}

/** A random number generator with a seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Returns a number in [0, 1), by mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** @throws {Error} if there are no items */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.next() * items.length)];
    if (item === undefined) {
      throw new Error('nothing to pick from');
    }
    return item;
  }
}
