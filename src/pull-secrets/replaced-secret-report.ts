// Logs that an unmanaged Secret replaced a managed one, at most once per hour and namespace.
import { LRUCache } from 'lru-cache';
import type { Log } from '../telemetry/log.ts';

const reportIntervalMs = 3_600_000;

/** Maximum number of namespaces that are remembered. Beyond it, the least recently logged one may be logged again. */
const maxNamespaces = 10_000;

/**
 * Creates a function that logs a replaced Secret. A tenant that replaces it again and again cannot flood the log.
 * @param monotonicNow a monotonic clock in ms
 */
export function createReplacedSecretReporter(
  secretName: string,
  log: Pick<Log, 'warn'>,
  monotonicNow: () => number = () => performance.now(),
): (namespace: string) => void {
  const loggedAt = new LRUCache<string, number>({ max: maxNamespaces });
  return (namespace) => {
    const now = monotonicNow();
    if (now - (loggedAt.get(namespace) ?? Number.NEGATIVE_INFINITY) >= reportIntervalMs) {
      loggedAt.set(namespace, now);
      log.warn(
        { namespace, secret: secretName },
        'the pull Secret is no longer managed by ecr-pull-secrets because another writer replaced it; delete it, or annotate it with ecr-pull-secrets.io/managed=false',
      );
    }
  };
}
