// Checks of the group `pods`: pods that cannot pull an image from a registry, by cause.
import { createRegistryResolver } from '../ecr/registry.ts';
import { createCachedRegistryResolver } from '../ecr/registry-cache.ts';
import type { CheckResult } from './check.ts';
import { countOf, limitDetails, skipForGap } from './check-text.ts';
import { readIdentities } from './identity-reader.ts';
import type { CheckGroupRunner, Installation } from './installation.ts';
import { reasonTexts } from './pod-explanation.ts';
import type { PullCause } from './pull-causes.ts';
import {
  type FailingPod,
  type FailingPods,
  type PullFailureReport,
  readPullFailures,
} from './pull-failure-reader.ts';
import { describeGap, type Gap } from './read-gaps.ts';
import { findHost } from './secret-states.ts';
import type { SecretSurvey, SurveyReader } from './secret-survey.ts';

export function createPodChecks(readSurvey: SurveyReader): CheckGroupRunner {
  return async (installation, signal) => {
    const gaps: Gap[] = [];
    const survey = await readSurvey(installation, signal).catch((error: unknown) => {
      gaps.push(describeGap(error, 'list secrets'));
      return undefined;
    });
    const { config, cluster } = installation;
    const dependencies = survey ?? {
      resolveIdentity: await readIdentities(config, cluster, gaps, signal),
      resolveRegistry: createCachedRegistryResolver(createRegistryResolver(config)),
    };
    const report = await readPullFailures(installation, survey, dependencies, signal);
    const podGap = report.gaps.find(({ request }) => request === 'list pods');
    return podGap === undefined
      ? describeReport(report, installation, survey, gaps)
      : [skipForGap('pods-waiting', podGap)];
  };
}

/** The results about causes, each with the pods that have it. The first three are reported in any case. */
function describeReport(
  report: PullFailureReport,
  installation: Installation,
  survey: SecretSurvey | undefined,
  gaps: readonly Gap[],
): CheckResult[] {
  const { secretName } = installation.config;
  const pods = (cause: PullCause) => report.causes.get(cause) ?? noPods;
  const whenFound = (cause: PullCause, describe: (found: FailingPods) => CheckResult) =>
    pods(cause).count === 0 ? [] : [describe(pods(cause))];
  const scope = report.isComplete
    ? `examined ${countOf(report.examined, 'pod')}`
    : `examined the pending pods and the first running ones, ${report.examined} in all`;
  return [
    describeWithoutReference(pods('no-reference'), secretName),
    ...whenFound('excluded', describeExcluded),
    describeWaiting(pods('no-token'), secretName, survey),
    ...whenFound('retrying', describeRetrying),
    ...whenFound('unknown-token', (found) => describeUnknownToken(found, gaps)),
    describeRefused(pods('refused'), scope),
    ...whenFound('not-found', (found) => describeProblem(found, notFound)),
    ...whenFound('wrong-platform', (found) => describeProblem(found, wrongPlatform)),
    ...whenFound('unreachable', (found) => describeProblem(found, unreachable)),
    ...whenFound('throttled', (found) => describeProblem(found, throttled)),
    ...whenFound('unexplained', (found) => describeProblem(found, unexplained)),
  ];
}

const noPods: FailingPods = { count: 0, pods: [] };

const maxNameLength = 253;

function nameOf({ namespace, name }: FailingPod): string {
  return `${namespace.slice(0, maxNameLength)}/${name.slice(0, maxNameLength)}`;
}

function listPods({ pods, count }: FailingPods, describe: (pod: FailingPod) => string): string[] {
  return limitDetails(
    pods.map((pod) => `${nameOf(pod)}: ${describe(pod)}`),
    count,
  );
}

/** `pod shop/cart`, or `3 pods`. */
function subjectOf({ pods, count }: FailingPods): string {
  const [first] = pods;
  return count === 1 && first !== undefined ? `pod ${nameOf(first)}` : `${count} pods`;
}

/** The command that follows the whole chain for the first pod. */
function chainOf({ pods }: FailingPods): string {
  const [first] = pods;
  return first === undefined ? '' : `ecr-pull-secrets doctor pod ${nameOf(first)}`;
}

const imageOf = ({ failure }: FailingPod) => failure.image;

function describeWithoutReference(found: FailingPods, secretName: string): CheckResult {
  const check = 'pods-without-reference';
  const [first] = found.pods;
  return first === undefined
    ? { check, outcome: 'ok', summary: 'every failing pod that should refer to the pull Secret does' }
    : {
        check,
        outcome: 'failed',
        summary: `${subjectOf(found)} cannot pull, because there is no reference to Secret ${secretName}`,
        meaning:
          'The webhook was not called when they were created, or another webhook added the image later',
        remedy: `Check the group webhook, then delete them, so that their controllers create them again: kubectl delete pod -n ${first.namespace} ${first.name}`,
        page: 'how-to/find-missed-pods.md',
        details: listPods(found, imageOf),
      };
}

function describeExcluded(found: FailingPods): CheckResult {
  const [first] = found.pods;
  return {
    check: 'pods-excluded',
    outcome: 'failed',
    summary: `${subjectOf(found)} cannot pull, and the program does not handle ${found.count === 1 ? 'it' : 'them'}: ${first === undefined ? 'it is excluded' : explainExclusion(first)}`,
    meaning: 'The program gives these pods neither a reference nor a token, so they need other credentials',
    remedy: 'If the program should handle them, remove the exclusion and recreate the pods',
    page: 'how-to/exclude.md',
    details: listPods(found, explainExclusion),
  };
}

function explainExclusion({ exclusion, denyingRule, namespace, failure }: FailingPod): string {
  if (denyingRule !== undefined) {
    return `${denyingRule} denies namespace ${namespace} the tokens of ${failure.host}`;
  }
  return exclusion === 'namespace-not-selected'
    ? `the labels of namespace ${namespace} do not match the selector of the webhook`
    : reasonTexts[exclusion];
}

function describeWaiting(
  found: FailingPods,
  secretName: string,
  survey: SecretSurvey | undefined,
): CheckResult {
  const check = 'pods-waiting';
  const [first] = found.pods;
  if (first === undefined) {
    return { check, outcome: 'ok', summary: 'no pod waits for a token' };
  }
  return {
    check,
    outcome: 'failed',
    summary: `${subjectOf(found)} cannot pull, because Secret ${secretName} has no valid token: ${explainToken(first, survey)}`,
    meaning: 'The pods pull without further action within five minutes after the token is stored',
    remedy: 'Remove the cause that is named; the groups secrets and aws show more',
    page: 'troubleshooting.md#the-secret-has-no-token-for-the-host',
    details: listPods(found, (pod) => explainToken(pod, survey)),
  };
}

/** Why the Secret of the pod has no valid token for the host of its image. */
function explainToken({ namespace, failure }: FailingPod, survey: SecretSurvey | undefined): string {
  const secret = survey?.secrets.get(namespace);
  if (secret === undefined) {
    return `namespace ${namespace} has no such Secret`;
  }
  switch (secret.condition) {
    case 'unmanaged':
    case 'wrong-type':
    case 'opted-out':
      return `the program does not manage the Secret of namespace ${namespace}, because ${secret.detail}`;
    case 'edited':
      return `the Secret of namespace ${namespace} is not as the program wrote it, because ${secret.detail}`;
    case 'missing': {
      const reported = findHost(secret, failure.host) ?? secret.hosts[0];
      const error = reported?.error === undefined ? '' : ` (${reported.host}: ${reported.error})`;
      return `namespace ${namespace} has no such Secret${error}`;
    }
    default: {
      const host = findHost(secret, failure.host);
      if (host === undefined) {
        return `the Secret does not name ${failure.host}`;
      }
      const problem = host.expiresAt === undefined ? 'waits for its first token' : 'has an expired token';
      return `${failure.host} ${problem}${host.error === undefined ? '' : ` (${host.error})`}`;
    }
  }
}

function describeRetrying(found: FailingPods): CheckResult {
  return {
    check: 'pods-retrying',
    outcome: 'warning',
    summary: `${subjectOf(found)} failed to pull before the token was stored a few minutes ago`,
    meaning: 'The kubelet tries again within five minutes',
    remedy: 'Wait, or delete the pods so that they are created again',
    details: listPods(found, imageOf),
  };
}

function describeUnknownToken(found: FailingPods, gaps: readonly Gap[]): CheckResult {
  const why = gaps.find(({ request }) => request === 'list secrets')?.why ?? 'the Secrets could not be read';
  return {
    check: 'pods-waiting',
    outcome: 'skipped',
    summary: `${subjectOf(found)} cannot pull, and it is not known whether there is a token, because ${why}`,
    remedy: 'Run doctor in the cluster, or with the right to list Secrets',
    details: listPods(found, imageOf),
  };
}

function describeRefused(found: FailingPods, scope: string): CheckResult {
  const check = 'pods-refused';
  if (found.count === 0) {
    return { check, outcome: 'ok', summary: `the registries refuse no pull with a valid token (${scope})` };
  }
  const action = found.pods.find(({ failure }) => failure.action !== undefined)?.failure.action;
  return {
    check,
    outcome: 'failed',
    summary: `${subjectOf(found)} cannot pull, because Amazon ECR refuses the valid token${action === undefined ? '' : `: ${action} is not allowed`}`,
    meaning: 'The identity that fetched the token may not pull from the repository',
    remedy:
      `Allow ${action ?? 'ecr:BatchGetImage and ecr:GetDownloadUrlForLayer'} in the policies of the repository and of the identity; ` +
      `to see the identity and the ARN, run: ${chainOf(found)}`,
    page: 'troubleshooting.md#ecr-refuses-the-pull',
    details: listPods(found, imageOf),
  };
}

/** The words for a cause that has nothing to do with tokens. */
interface ProblemText {
  readonly check: string;
  readonly outcome: 'warning' | 'failed';
  readonly what: string;
  readonly meaning: string;
  readonly remedy: string;
}

const notFound: ProblemText = {
  check: 'pods-image-not-found',
  outcome: 'failed',
  what: 'cannot pull, because the registry has no such repository or tag',
  meaning: 'The credentials work; the image reference is wrong, or the image was not pushed or was deleted',
  remedy: 'Correct the image, or push it. To see whether the repository or the tag is missing, run',
};

const wrongPlatform: ProblemText = {
  check: 'pods-wrong-platform',
  outcome: 'failed',
  what: 'cannot pull, because the image does not exist for the platform of the node',
  meaning: 'The credentials work; the image was built for other processors or operating systems',
  remedy: 'Build the image for the platform of the nodes. To see the platforms of the image, run',
};

const unreachable: ProblemText = {
  check: 'pods-unreachable',
  outcome: 'failed',
  what: 'cannot pull, because the node cannot reach the registry',
  meaning: 'The kubelet found no network path to Amazon ECR or Amazon S3, which the layers come from',
  remedy: 'Check routes, DNS, proxies and VPC endpoints of the nodes. To check each step of the pull, run',
};

const throttled: ProblemText = {
  check: 'pods-throttled',
  outcome: 'warning',
  what: 'failed to pull, because Amazon ECR limits the rate of requests',
  meaning: 'The kubelet tries again, and succeeds when fewer pulls are made at once',
  remedy:
    'Raise the quota of the registry, or use imagePullPolicy: IfNotPresent. To check each step of the pull, run',
};

const unexplained: ProblemText = {
  check: 'pods-unexplained',
  outcome: 'warning',
  what: 'cannot pull with a valid token, and the status does not say why',
  meaning: 'The kubelet is backing off, and there is no Event about the cause',
  remedy: 'Find the cause with kubectl describe pod. To check each step of the pull, run',
};

function describeProblem(
  found: FailingPods,
  { check, outcome, what, meaning, remedy }: ProblemText,
): CheckResult {
  return {
    ...{ check, outcome, meaning },
    summary: `${subjectOf(found)} ${what}`,
    remedy: `${remedy}: ${chainOf(found)}`,
    page: 'troubleshooting.md#find-the-cause',
    details: listPods(found, imageOf),
  };
}
