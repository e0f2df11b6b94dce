// Checks of the group `secrets`: which pull Secrets the program cannot use or write, and which hosts lack a valid token.

import type { CheckResult } from './check.ts';
import { countOf, limitDetails, skipForGap } from './check-text.ts';
import { createDiagnosisRules } from './diagnosis-rules.ts';
import type { CheckGroupRunner, Installation } from './installation.ts';
import { readPodUsage } from './pod-usage.ts';
import { describeGap } from './read-gaps.ts';
import type { ReportTimeline } from './report-timeline.ts';
import { lacksToken, type SecretCondition, type SecretStatus } from './secret-states.ts';
import { allNamespaces, type SecretSurvey, type SurveyReader } from './secret-survey.ts';
import { checkWrites } from './secret-write-check.ts';
import { checkTokens } from './token-checks.ts';

/** @param onTimeline receives the tokens of all pull Secrets */
export function createSecretChecks(
  readSurvey: SurveyReader,
  onTimeline: (timeline: ReportTimeline) => void,
): CheckGroupRunner {
  return async (installation, signal) => {
    let survey: SecretSurvey;
    try {
      survey = await readSurvey(installation, signal);
    } catch (error) {
      return [skipForGap('secret-tokens', describeGap(error, 'list secrets'))];
    }
    onTimeline(createTimeline(survey));
    const { secretName } = installation.config;
    const writes = await checkWrites(installation, survey, signal);
    const isUnused = await findUnusedHosts(installation, survey, signal);
    return [
      checkTypes(survey, secretName),
      checkUnmanaged(survey, secretName),
      writes.result,
      checkFull(survey),
      checkEdited(survey),
      checkTokens(installation, survey, writes.unwritable, isUnused),
    ];
  };
}

/**
 * Lists the pods if a host has no valid token. If they cannot be listed, every host may be needed.
 * @returns whether it is known that no pod of a namespace needs a host
 */
async function findUnusedHosts(
  installation: Installation,
  { secrets, now, resolveRegistry, resolveIdentity }: SecretSurvey,
  signal: AbortSignal,
): Promise<(namespace: string, host: string) => boolean> {
  if (![...secrets.values()].some(({ hosts }) => hosts.some((host) => lacksToken(host, now)))) {
    return () => false;
  }
  const rules = createDiagnosisRules(installation.config, resolveRegistry, resolveIdentity);
  const usage = await readPodUsage(
    installation.cluster,
    { rules, scope: allNamespaces, collectsUninjected: () => false },
    [],
    signal,
  );
  return (namespace, host) => usage.isComplete && usage.count(namespace, host) === 0;
}

function createTimeline({ secrets }: SecretSurvey): ReportTimeline {
  return [...secrets.values()].flatMap(({ namespace, hosts }) =>
    hosts.map(({ host, expiresAt, error }) => ({ namespace, host, expiresAt, failure: error })),
  );
}

function select({ secrets }: SecretSurvey, condition: SecretCondition): SecretStatus[] {
  return [...secrets.values()].filter((secret) => secret.condition === condition);
}

function nameFirst(secrets: readonly SecretStatus[], secretName: string): string {
  const [first] = secrets;
  const more = secrets.length > 1 ? ` and ${countOf(secrets.length - 1, 'other Secret')} of the name` : '';
  return `Secret ${first?.namespace}/${secretName}${more}`;
}

function listDetails(secrets: readonly SecretStatus[]): string[] {
  return limitDetails(secrets.map(({ namespace, detail = '' }) => `${namespace}: ${detail}`));
}

const unusable =
  'Pods in these namespaces get no token, because the program changes no Secret that it does not manage';
const unmanagedPage = 'troubleshooting.md#an-unmanaged-secret-has-the-name';

function checkTypes(survey: SecretSurvey, secretName: string): CheckResult {
  const check = 'secret-type';
  const found = select(survey, 'wrong-type');
  const [first] = found;
  return first === undefined
    ? { check, outcome: 'ok', summary: 'all Secrets of the name have the type of a pull Secret' }
    : {
        check,
        outcome: 'failed',
        summary: `${nameFirst(found, secretName)} is not of type kubernetes.io/dockerconfigjson`,
        meaning: unusable,
        remedy: `Delete it, and the program creates it again: kubectl delete secret -n ${first.namespace} ${secretName}`,
        page: unmanagedPage,
        details: listDetails(found),
      };
}

function checkUnmanaged(survey: SecretSurvey, secretName: string): CheckResult {
  const check = 'secret-unmanaged';
  const found = select(survey, 'unmanaged');
  const [first] = found;
  if (first === undefined) {
    const optedOut = select(survey, 'opted-out').length;
    const also = optedOut === 0 ? '' : `, except ${countOf(optedOut, 'Secret')} that you manage yourself`;
    return { check, outcome: 'ok', summary: `the program manages all Secrets of the name${also}` };
  }
  return {
    check,
    outcome: 'failed',
    summary: `${nameFirst(found, secretName)} exists, but the program does not manage it: ${first.detail}`,
    meaning: unusable,
    remedy: `Delete it (kubectl delete secret -n ${first.namespace} ${secretName}), or keep it with the annotation ecr-pull-secrets.io/managed=false`,
    page: unmanagedPage,
    details: listDetails(found),
  };
}

function checkFull(survey: SecretSurvey): CheckResult {
  const check = 'secret-full';
  const page = 'troubleshooting.md#the-pull-secret-is-full';
  const secrets = [...survey.secrets.values()];
  const refusing = secrets.flatMap(({ namespace }) => {
    const error = survey.errors.findFull(namespace);
    return error === undefined ? [] : [`${namespace}: ${error.text}`];
  });
  const full = secrets.filter(({ isFull }) => isFull).map(({ namespace }) => namespace);
  if (refusing.length > 0) {
    return {
      check,
      outcome: 'failed',
      summary: `the pull ${refusing.length === 1 ? 'Secret' : 'Secrets'} of ${countOf(refusing.length, 'namespace')} had no room for a host of a pod in the last hour`,
      meaning: 'Pods with further ECR hosts get no token',
      remedy: 'Remove unused hosts with ecr-pull-secrets remove-host, or raise secrets.maxHosts',
      page,
      details: limitDetails(refusing),
    };
  }
  return full.length === 0
    ? { check, outcome: 'ok', summary: 'no pull Secret is full' }
    : {
        check,
        outcome: 'warning',
        summary: `the pull ${full.length === 1 ? 'Secret' : 'Secrets'} of ${countOf(full.length, 'namespace')} cannot take another host`,
        meaning:
          'The program removes unused hosts before it adds one; if all are in use, a pod with another host gets no token',
        remedy: 'Remove unused hosts with ecr-pull-secrets remove-host, or raise secrets.maxHosts',
        page,
        details: limitDetails(full),
      };
}

function checkEdited(survey: SecretSurvey): CheckResult {
  const check = 'secret-edited';
  const found = select(survey, 'edited');
  return found.length === 0
    ? { check, outcome: 'ok', summary: 'no pull Secret was edited' }
    : {
        check,
        outcome: 'warning',
        summary: `another writer edited the pull ${found.length === 1 ? 'Secret' : 'Secrets'} of ${countOf(found.length, 'namespace')}: ${found[0]?.namespace}, ${found[0]?.detail}`,
        meaning:
          'The program restores it within seconds; if the writer keeps changing it, pods may find no valid token',
        remedy: 'Stop the writer; metadata.managedFields of the Secret names it',
        page: 'troubleshooting.md#another-controller-keeps-changing-the-secret',
        details: listDetails(found),
      };
}
