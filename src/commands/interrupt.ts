// Stops commands that run once on SIGINT and SIGTERM, so that they report what they did.
import { waitAtMost, whenAborted } from '../util/timeout.ts';

/** 128 and the number of the signal, as shells report it. */
const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

export type InterruptSignal = keyof typeof exitCodes;

/** Delivers the signals of the process, and ends it. */
export interface SignalSource {
  on(signal: InterruptSignal, listener: (signal: InterruptSignal) => void): unknown;
  off(signal: InterruptSignal, listener: (signal: InterruptSignal) => void): unknown;
  exit(code: number): void;
}

/** Whether the user wants a command to end. */
export interface Interrupt {
  /** Aborted by the first signal: nothing new is started. */
  readonly signal: AbortSignal;
  /** The first signal; undefined: none arrived. */
  readonly received: InterruptSignal | undefined;
  /** What the command exits with because of the signal; undefined: none arrived. */
  readonly exitCode: number | undefined;
}

/**
 * Runs a command until it ends, and passes on the first signal. A second one ends the process at once.
 * @param onFirst called with the first signal
 */
export async function interruptible<T>(
  signals: SignalSource,
  run: (interrupt: Interrupt) => Promise<T>,
  onFirst: (signal: InterruptSignal) => void = () => undefined,
): Promise<T> {
  const stopping = new AbortController();
  let received: InterruptSignal | undefined;
  const listener = (signal: InterruptSignal) => {
    if (received !== undefined) {
      signals.exit(exitCodes[signal]);
      return;
    }
    received = signal;
    onFirst(signal);
    stopping.abort();
  };
  const names: readonly InterruptSignal[] = ['SIGINT', 'SIGTERM'];
  for (const name of names) {
    signals.on(name, listener);
  }
  try {
    return await run({
      signal: stopping.signal,
      get received() {
        return received;
      },
      get exitCode() {
        return received && exitCodes[received];
      },
    });
  } finally {
    for (const name of names) {
      signals.off(name, listener);
    }
  }
}

/** Calls in flight of which an interrupted command awaits the end. */
export interface CallsInFlight {
  /** Resolves when there are none. */
  idle(): Promise<void>;
  /** How long to wait for that, in ms. */
  readonly timeoutMs: number;
  /** Makes sure that no call is started afterwards. */
  close(): Promise<void>;
}

/**
 * Waits for work. After an interrupt it waits only for the calls in flight, because work may also wait for AWS or for a retry.
 * Work that has not ended by then cannot change anything any more.
 */
export async function finishWork(
  work: Promise<unknown>,
  signal: AbortSignal,
  calls: CallsInFlight,
): Promise<void> {
  const stopped = whenAborted(signal).then(async () => {
    await waitAtMost(calls.timeoutMs, calls.idle(), () => undefined, { ref: false });
    await calls.close();
  });
  await Promise.race([work, stopped]);
}
