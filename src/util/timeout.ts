// Bounds how long a caller waits for work that may hang, and waits for a signal.
import pTimeout from 'p-timeout';

export interface WaitOptions {
  /** Whether the timer keeps the process alive. Default: true. */
  readonly ref?: boolean;
  /** Aborted later: rejects with its reason. It must not be aborted yet, because a rejection of the work would then be unhandled. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for work, but for at most `ms`. Work that takes longer continues, and a later rejection of it is ignored.
 * @param getFallback provides the result once the time has passed, or throws
 */
export async function waitAtMost<T, F>(
  ms: number,
  work: Promise<T>,
  getFallback: () => F,
  { ref = true, signal }: WaitOptions = {},
): Promise<T | F> {
  return await pTimeout<T, F>(work, {
    ...(signal && { signal }),
    milliseconds: Math.max(ms, 1), // p-timeout does not accept 0, which Node's timers treat as 1
    fallback: getFallback,
    customTimers: ref ? { setTimeout, clearTimeout } : { setTimeout: setUnrefTimeout, clearTimeout },
  });
}

const setUnrefTimeout = ((callback: () => void, ms: number) =>
  setTimeout(callback, ms).unref()) as typeof setTimeout;

/**
 * Runs work for at most `ms`. After that its signal is aborted and the returned promise rejects, even if the work ignores
 * the signal.
 * @param errorName name of the error after a timeout; the AWS SDK distinguishes its errors by name as well
 */
export async function withTimeout<T>(
  ms: number,
  errorName: 'TimeoutError' | 'CredentialsTimeoutError',
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  return await waitAtMost(ms, work(controller.signal), () => {
    controller.abort();
    throw Object.assign(new Error(`timed out after ${ms} ms`), { name: errorName });
  });
}

/** Resolves when the signal is aborted. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
    } else {
      signal.addEventListener('abort', () => resolve(), { once: true });
    }
  });
}
