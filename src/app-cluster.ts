// Builds the connection to the API server, and reports requests that it does not send.
import packageJson from '../package.json' with { type: 'json' };
import type { Config } from './config/schema.ts';
import type { CallSlotsState } from './kube/call-slots.ts';
import { type ClusterConfig, loadKubeConfig } from './kube/client.ts';
import { productName } from './labels.ts';
import type { Log } from './telemetry/log.ts';
import { throttleReport } from './util/throttle-report.ts';

/** Minimum time between two log lines about overload, in ms. */
const overloadLogIntervalMs = 60_000;

/** @throws {KubeConfigError} */
export function connectToCluster({ kubernetes }: Config, log: Log): ClusterConfig {
  return loadKubeConfig({
    kubeconfigPath: kubernetes.kubeconfig,
    requestTimeoutMs: kubernetes.requestTimeout,
    writeTimeoutMs: kubernetes.writeTimeout,
    onOverload: createOverloadReporter(log),
    userAgent: `${productName}/${packageJson.version}`,
  });
}

/** Logs that requests were not sent. Each caller also reports the failure of its own request. */
function createOverloadReporter(log: Log): (calls: CallSlotsState) => void {
  return throttleReport(
    overloadLogIntervalMs,
    () => performance.now(),
    (dropped, { inFlight, slow, waiting }: CallSlotsState) =>
      log.warn(
        { dropped, inFlight, slow, waiting },
        'dropped requests to the API server because too many are in flight',
      ),
  );
}
