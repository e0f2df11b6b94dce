// Checks whether each host of the pull Secrets has a valid token, and names why not. Pure.
import type { CheckResult } from './check.ts';
import { countOf, formatDuration, limitDetails } from './check-text.ts';
import type { Installation } from './installation.ts';
import { type HostState, type HostStatus, lacksToken } from './secret-states.ts';
import type { SecretSurvey } from './secret-survey.ts';

/** A host of a Secret. */
interface NamespacedHost extends HostStatus {
  readonly namespace: string;
}

/** How long a host may wait for its first token before that is a failure, in ms. A token takes seconds. */
const maxWaitMs = 120_000;

const check = 'secret-tokens';
const page = 'troubleshooting.md#the-secret-has-no-token-for-the-host';

/**
 * @param unwritable namespaces for which another check names why there is no token
 * @param isUnused whether it is known that no pod of a namespace needs a host
 */
export function checkTokens(
  installation: Pick<Installation, 'viewpoint' | 'namespace'>,
  survey: Pick<SecretSurvey, 'secrets' | 'counts' | 'now' | 'gaps'>,
  unwritable: ReadonlySet<string>,
  isUnused: (namespace: string, host: string) => boolean,
): CheckResult {
  const hosts = [...survey.secrets.values()].flatMap(({ namespace, hosts }) =>
    hosts.map((host): NamespacedHost => ({ ...host, namespace })),
  );
  const failing = hosts.filter((host) => isFailing(host, survey.now));
  const unexplained = failing.filter(({ namespace }) => !unwritable.has(namespace));
  const needed = unexplained.filter(
    (host) => !lacksToken(host, survey.now) || !isUnused(host.namespace, host.host),
  );
  if (needed.length > 0) {
    return describeFailures(needed, installation, survey);
  }
  if (unexplained.length > 0) {
    return describeUnused(unexplained, survey.now);
  }
  if (failing.length > 0) {
    const summary = `${countOf(failing.length, 'host')} without a valid token, because the Secrets cannot be written (secret-writable)`;
    return { check, outcome: 'skipped', summary };
  }
  return survey.counts.waiting > 0 ? describeWaiting(survey) : describeValid(hosts, survey);
}

function isFailing({ state, waitingSince }: HostStatus, now: number): boolean {
  return (
    state === 'expired' ||
    state === 'failing' ||
    (state === 'waiting' && (waitingSince === undefined || now - waitingSince > maxWaitMs))
  );
}

/** A pod named them earlier, for example with a misspelt region. They leave the Secret after `secrets.forgetAfter`. */
function describeUnused(hosts: readonly NamespacedHost[], now: number): CheckResult {
  const [first] = hosts;
  return {
    check,
    outcome: 'warning',
    summary: `${countOf(hosts.length, 'host')} without a valid token, which no pod needs`,
    meaning: 'The program tries to fetch their tokens until secrets.forgetAfter has passed',
    remedy: `If they are not needed any more, run ecr-pull-secrets remove-host --namespace ${first?.namespace} ${first?.host}`,
    page: 'how-to/remove-a-host.md',
    details: limitDetails(hosts.map((host) => describeHost(host, now, undefined))),
  };
}

/** Names the cause that concerns most hosts. */
function describeFailures(
  failing: readonly NamespacedHost[],
  { viewpoint, namespace: installNamespace }: Pick<Installation, 'viewpoint' | 'namespace'>,
  { now, gaps }: Pick<SecretSurvey, 'now' | 'gaps'>,
): CheckResult {
  const groups = [...Map.groupBy(failing, ({ error }) => error).entries()].sort(
    ([textA, a], [textB, b]) =>
      Number(textA === undefined) - Number(textB === undefined) || b.length - a.length,
  );
  const [cause, hosts = failing] = groups[0] ?? [];
  const noEvents = gaps.find(({ request }) => request === 'list events');
  const unknownCause =
    noEvents === undefined ? 'no Event names the cause' : `the cause is not known, because ${noEvents.why}`;
  const namespaces = new Set(hosts.map(({ namespace }) => namespace)).size;
  const areValid = hosts.every((host) => !lacksToken(host, now));
  const problem = areValid ? 'cannot be renewed' : 'without a valid token';
  return {
    check,
    outcome: 'failed',
    summary: `${countOf(hosts.length, 'host')} ${problem} in ${countOf(namespaces, 'namespace')}: ${cause ?? unknownCause}`,
    meaning: areValid
      ? `Pods pull until the tokens expire, the first one in ${formatDuration(firstExpiry(hosts) - now)}`
      : 'Pods that need these hosts cannot pull',
    remedy:
      viewpoint === 'inside'
        ? 'Remove the cause that is named; the group aws shows whether AWS issues tokens now'
        : 'Remove the cause that is named; to see whether AWS issues tokens now, run ' +
          `kubectl exec -n ${installNamespace ?? 'ecr-pull-secrets'} deploy/ecr-pull-secrets -- ecr-pull-secrets doctor --group aws`,
    page,
    details: limitDetails(failing.map((host) => describeHost(host, now, cause))),
  };
}

function firstExpiry(hosts: readonly NamespacedHost[]): number {
  return hosts.reduce(
    (first, { expiresAt = Number.POSITIVE_INFINITY }) => Math.min(first, expiresAt),
    Number.POSITIVE_INFINITY,
  );
}

/** @param cause the error that the summary names, and the line of the host does not repeat */
function describeHost(
  { namespace, host, state, expiresAt, waitingSince, error }: NamespacedHost,
  now: number,
  cause: string | undefined,
): string {
  const facts = [
    ...(expiresAt === undefined
      ? []
      : [
          expiresAt > now
            ? `expires in ${formatDuration(expiresAt - now)}`
            : `expired ${formatDuration(now - expiresAt)} ago`,
        ]),
    ...(waitingSince === undefined ? [] : [`has waited for ${formatDuration(now - waitingSince)}`]),
    ...(error === undefined || error === cause ? [] : [error]),
  ];
  return `${namespace}: ${host}: ${facts.length === 0 ? state : facts.join(', ')}`;
}

function describeWaiting({ counts }: Pick<SecretSurvey, 'counts'>): CheckResult {
  return {
    check,
    outcome: 'warning',
    summary: `${countOf(counts.waiting, 'host')} waiting for the first token for less than ${formatDuration(maxWaitMs)}`,
    meaning: 'Pods that need them pull as soon as the token is stored',
    remedy: 'Run doctor again in two minutes',
    page,
  };
}

function describeValid(
  hosts: readonly NamespacedHost[],
  { counts, now, secrets }: Pick<SecretSurvey, 'counts' | 'now' | 'secrets'>,
): CheckResult {
  const states: readonly HostState[] = ['valid', 'due', 'unconfigured'];
  const total = states.reduce((sum, state) => sum + counts[state], 0);
  if (total === 0) {
    return { check, outcome: 'ok', summary: 'no pull Secret holds a token, because no pod has needed one' };
  }
  const next = firstExpiry(hosts);
  const due = counts.due === 0 ? '' : `, ${counts.due} of them due for renewal`;
  return {
    check,
    outcome: 'ok',
    summary:
      `${countOf(total, 'token')} valid in ${countOf(secrets.size, 'namespace')}${due}` +
      (next < Number.POSITIVE_INFINITY ? `; the next one expires in ${formatDuration(next - now)}` : ''),
  };
}
