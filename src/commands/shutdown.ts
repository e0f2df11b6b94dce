// Shuts down the commands that run until a signal arrives.
import closeWithGrace from 'close-with-grace';
import type { Log } from '../telemetry/log.ts';

/**
 * Shuts down on a signal or an uncaught error. A second signal ends the process at once.
 * @param delay maximum duration of the shutdown, in ms
 */
export function shutDownOnSignal(delay: number, log: Log, close: () => Promise<void>): void {
  closeWithGrace(
    {
      delay,
      logger: false,
      onTimeout: () => log.error({ timeoutMs: delay }, 'shutdown timed out with calls in flight'),
    },
    async ({ err, signal }) => {
      if (err !== undefined) {
        log.fatal({ err }, 'shutting down after an unexpected error');
      } else {
        log.info({ signal }, 'shutting down');
      }
      await close();
      log.info('shutdown complete');
    },
  );
}
