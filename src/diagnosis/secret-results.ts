// Describes the pull Secret of one namespace and its tokens for some hosts. Pure.

import type { CheckResult } from './check.ts';
import { formatDuration, skipCheck } from './check-text.ts';
import { findHost, type HostStatus, type SecretCondition, type SecretStatus } from './secret-states.ts';

const check = 'pull-secret';
const waitingMeaning = 'The kubelet cannot pull until the Secret holds a token';

/** @param secret its name with its namespace; @param status undefined: it does not exist */
export function describeSecret(secret: string, status: SecretStatus | undefined): CheckResult {
  if (status === undefined || status.condition === 'missing') {
    return describeMissing(secret, status?.hosts.find(({ error }) => error !== undefined)?.error);
  }
  const { condition, detail, isFull } = status;
  const description = conditionTexts[condition];
  if (condition === 'managed') {
    const summary = `the program manages Secret ${secret}`;
    return isFull
      ? {
          check,
          outcome: 'warning',
          summary: `${summary}, which has no room for further hosts`,
          page: fullPage,
        }
      : { check, outcome: 'ok', summary };
  }
  return {
    check,
    outcome: description.outcome,
    summary: `Secret ${secret} ${description.summary}${detail === undefined ? '' : `: ${detail}`}`,
    meaning: description.meaning,
    remedy: description.remedy,
    page: 'troubleshooting.md#an-unmanaged-secret-has-the-name',
  };
}

/** @param error why the program could not create it, as far as an Event says so */
function describeMissing(secret: string, error: string | undefined): CheckResult {
  return {
    check,
    outcome: 'failed',
    summary: `Secret ${secret} does not exist${error === undefined ? '' : `: ${error}`}`,
    meaning: 'The kubelet finds no credentials for the image',
    remedy:
      error === undefined
        ? 'Look for the Event or the log line that says why the program could not create it'
        : 'Remove the cause. The program retries, and the kubelet then pulls without further action',
    page:
      error === undefined
        ? 'troubleshooting.md#there-is-no-secret'
        : 'troubleshooting.md#a-secret-cannot-be-written',
  };
}

const fullPage = 'troubleshooting.md#the-pull-secret-is-full';

interface ConditionText {
  readonly outcome: 'ok' | 'warning' | 'failed';
  readonly summary: string;
  readonly meaning?: string;
  readonly remedy?: string;
}

const unmanaged = {
  outcome: 'failed',
  meaning: 'The program does not change it, so it gets no tokens',
  remedy:
    'Delete the Secret, so that the program creates its own, or set another secretName in the configuration',
} as const;

const conditionTexts: Readonly<Record<Exclude<SecretCondition, 'missing'>, ConditionText>> = {
  managed: { outcome: 'ok', summary: 'is managed' },
  edited: {
    outcome: 'warning',
    summary: 'was edited and is not restored yet',
    meaning: 'The program restores it within a minute, unless another writer changes it again',
    remedy: 'Find the other writer in metadata.managedFields of the Secret, and stop it',
  },
  unmanaged: { ...unmanaged, summary: 'is not managed by the program' },
  'wrong-type': { ...unmanaged, summary: 'has the wrong type' },
  'opted-out': {
    outcome: 'warning',
    summary: 'is not managed by the program, on purpose',
    meaning: 'The program does not change it, so pods pull with the credentials that its owner stores in it',
  },
};

const tokenCheck = 'pull-token';
const failingPage = 'troubleshooting.md#the-secret-has-no-token-for-the-host';

/** @param now the wall clock in ms */
export function describeToken(host: string, status: SecretStatus, now: number): CheckResult {
  const found = findHost(status, host);
  if (found !== undefined) {
    return { check: tokenCheck, ...describeState(found, now) };
  }
  if (status.condition !== 'managed' && status.condition !== 'edited') {
    return skipCheck(tokenCheck, 'the program does not manage the Secret');
  }
  return {
    check: tokenCheck,
    outcome: 'failed',
    summary: `the Secret does not name ${host}`,
    meaning: waitingMeaning,
    remedy: status.isFull
      ? 'The Secret is full: remove unused hosts with ecr-pull-secrets remove-host, or raise secrets.maxHosts'
      : 'Delete the pod, so that its controller creates it again and the program adds the host',
    page: status.isFull ? fullPage : 'troubleshooting.md#a-secret-cannot-be-written',
  };
}

const readLog = 'Run the checks of AWS in the program (doctor --group aws), and see its log';
const expiryMeaning = 'The image cannot be pulled when the token has expired';

function describeState(found: HostStatus, now: number): Omit<CheckResult, 'check'> {
  const { host, state, expiresAt, error } = found;
  const because = error === undefined ? '' : `: ${error}`;
  const token = `the token for ${host}${expiresAt === undefined ? '' : ` ${formatExpiry(expiresAt, now)}`}`;
  switch (state) {
    case 'valid':
      return { outcome: 'ok', summary: token };
    case 'due':
      return { outcome: 'ok', summary: `${token}, and is about to be renewed` };
    case 'unconfigured':
      return {
        outcome: 'warning',
        summary: `${token}, and is not renewed${because}`,
        meaning: expiryMeaning,
        remedy: 'Add the host to hosts, or set publicRegistry, in the configuration',
        page: 'how-to/other-host-names.md',
      };
    case 'denied':
      return {
        outcome: 'failed',
        summary: `a rule of the configuration denies the namespace the tokens of ${host}`,
        meaning: 'The program removes the host from the Secret',
        page: 'how-to/isolate-teams.md#deny-access',
      };
    case 'expired':
      return {
        outcome: 'failed',
        summary: `${token}${because}`,
        meaning: 'The kubelet cannot pull until the program renews the token',
        remedy: readLog,
        page: 'troubleshooting.md#the-token-has-expired',
      };
    case 'failing':
    case 'waiting':
      return expiresAt === undefined ? describeWaiting(found, because) : describeRenewal(token, because);
  }
}

function describeRenewal(token: string, because: string): Omit<CheckResult, 'check'> {
  return {
    outcome: 'warning',
    summary: `${token}, and cannot be renewed${because}`,
    meaning: expiryMeaning,
    remedy: 'Remove the cause before the token expires',
    page: failingPage,
  };
}

function describeWaiting(
  { host, waitingSince, error }: HostStatus,
  because: string,
): Omit<CheckResult, 'check'> {
  const since = waitingSince === undefined ? '' : ` since ${new Date(waitingSince).toISOString()}`;
  const isKnown = error !== undefined;
  return {
    outcome: 'failed',
    summary: isKnown
      ? `there is no token for ${host}${because}`
      : `${host} waits for its first token${since}, and no cause is reported`,
    meaning: waitingMeaning,
    remedy: isKnown
      ? 'Remove the cause. The program retries, and the kubelet then pulls without further action'
      : readLog,
    page: failingPage,
  };
}

function formatExpiry(expiresAt: number, now: number): string {
  const duration = formatDuration(Math.abs(expiresAt - now));
  return expiresAt > now ? `is valid for ${duration}` : `expired ${duration} ago`;
}
