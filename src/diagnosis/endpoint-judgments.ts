// Judges whether something accepts connections where the API server calls the webhook. Pure.
import type { CheckResult } from './check.ts';
import { countOf } from './check-text.ts';
import type { ProbeResult } from './tls-probe.ts';
import type { CalledTarget } from './webhook-facts.ts';
import type { Endpoints, Workload } from './workloads.ts';

const check = 'webhook-endpoints';
const page = 'troubleshooting.md#the-api-server-cannot-call-the-webhook';
const meaning = 'The API server cannot call the webhook, so new pods get no reference';

export interface ServiceFacts {
  readonly target: Extract<CalledTarget, { kind: 'service' }>;
  readonly exists: boolean;
  readonly endpoints: Endpoints;
  /** The Deployment that serves admission requests; undefined if it does not exist or cannot be read. */
  readonly deployment: Workload | undefined;
}

export function judgeEndpoints({ target, exists, endpoints, deployment }: ServiceFacts): CheckResult {
  const service = `Service ${target.namespace}/${target.name}`;
  if (endpoints.ready > 0) {
    return { check, outcome: 'ok', summary: `${service} has ${countOf(endpoints.ready, 'ready endpoint')}` };
  }
  const failed = (summary: string, remedy: string): CheckResult => ({
    ...{ check, outcome: 'failed', summary, meaning, remedy, page },
  });
  if (!exists) {
    return failed(`${service}, which the API server calls, does not exist`, 'Restore it with helm upgrade');
  }
  const pods = `kubectl get pods -n ${target.namespace} -l app.kubernetes.io/component=webhook`;
  if (deployment?.desired === 0) {
    return failed(
      `${service} has no endpoints, because Deployment ${deployment.name} is scaled to 0 replicas`,
      `kubectl scale -n ${target.namespace} deploy/${deployment.name} --replicas 2`,
    );
  }
  if (deployment !== undefined && deployment.ready > 0) {
    return failed(
      `${service} has no ready endpoints, although Deployment ${deployment.name} has ${countOf(deployment.ready, 'ready pod')}`,
      `Compare the selector of the Service with the labels of the pods: ${pods} --show-labels`,
    );
  }
  const notReady = endpoints.notReady > 0 ? ` (${endpoints.notReady} are not ready)` : '';
  return failed(
    `${service} has no ready endpoints${notReady}`,
    `Find out why the pods are not ready: ${pods}`,
  );
}

/** Judges a connection to the target. @param isOwnNetwork whether the caller connects like the API server does */
export function judgeProbe(target: CalledTarget, probe: ProbeResult, isOwnNetwork: boolean): CheckResult {
  const where = target.kind === 'url' ? target.url : `Service ${target.namespace}/${target.name}`;
  if ('chain' in probe) {
    return { check, outcome: 'ok', summary: `${where} accepts connections` };
  }
  const summary = `${where} ${problemTexts[probe.problem]}`;
  return isOwnNetwork && probe.problem !== 'timeout'
    ? {
        check,
        outcome: 'failed',
        summary,
        meaning,
        remedy: 'Start the program, or correct the address',
        page,
      }
    : {
        check,
        outcome: 'skipped',
        summary: `${summary} from here, which may be different for the API server`,
      };
}

const problemTexts = {
  refused: 'refuses connections',
  timeout: 'does not respond',
  'unknown-host': 'has a name that cannot be resolved',
  'no-tls': 'does not respond with TLS',
} as const;
