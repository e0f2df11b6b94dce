import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from '../ecr/registry.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import { type Shortfall, secretFull } from '../pull-secrets/unavailable-host.ts';
import type { Log } from '../telemetry/log.ts';
import {
  answerWithinMs,
  type BadReview,
  isBadReview,
  type ReviewRequest,
  readReview,
  timeoutOf,
} from './admission-request.ts';
import { answerTo, errorBody } from './admission-response.ts';
import { type Decision, type DecisionRules, decide, type Ensure, type Warn } from './decision.ts';
import { maxHostsPerPod, maxNameLength, maxWaitingHosts, maxWaitingHostsPerNamespace } from './limits.ts';
import { describeReview, type ReviewSubject, subjectOf } from './review-log.ts';
import { WaitingHosts } from './waiting-hosts.ts';
import { missingReferenceWarning, missingTokenWarning } from './warnings.ts';

export interface MutateParts {
  readonly rules: DecisionRules;
  readonly onFailure: 'admit' | 'deny';
  readonly deadlineMarginMs: number;
  readonly pullSecrets: Pick<PullSecrets, 'covers' | 'ensure'>;
  readonly log: Log;
  readonly metrics: {
    /** Counts an answer by its outcome and the reason of the decision. */
    review(outcome: Outcome, reason: string): void;
    admissionSeconds(seconds: number): void;
  };
}

/** How a review ended. */
type Outcome =
  /** The pod refers to the Secret now, and the Secret has its tokens. */
  | 'injected'
  /** The pod referred to it before, and the Secret has its tokens. */
  | 'covered'
  /** Admitted with the reference, while a token is missing. */
  | 'incomplete'
  /** Admitted with a warning: the pod has a new image and no reference to the Secret, and can get none. */
  | 'warned'
  | 'dry-run'
  | 'left'
  | 'denied'
  | 'error';

/** An HTTP answer: status and JSON text. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * Makes the function that answers one call of the webhook. It never throws or rejects: what is no review gets a 400,
 * and a bug of ours gets the pod admitted with the patch that was decided (or denied, where the operator chose that).
 * Where the Secret is known to be fresh the answer comes at once, without any I/O. Where it is not, nothing of the body is
 * kept while the answer waits: a pod may have megabytes.
 * @returns takes the parsed body, and the address of the call with its query
 */
export function reviewAnswerer(parts: MutateParts): (body: unknown, url: string) => Answer | Promise<Answer> {
  const waiting = new WaitingHosts(maxWaitingHosts, maxWaitingHostsPerNamespace);
  return (body, url) => {
    const request = readBoundedReview(body);
    if (isBadReview(request)) {
      parts.metrics.review('error', 'bad-review');
      return { status: 400, body: errorBody('bad-review', `${request.place}: expected ${request.expected}`) };
    }
    const timed = timedFrom(performance.now(), parts);
    const answer = answerReview(request, url, parts, waiting);
    return answer instanceof Promise ? answer.then(timed) : timed(answer);
  };
}

/** Observes the duration of a review. Not inline, because a closure would keep the body with it. */
function timedFrom(started: number, { metrics }: MutateParts): (answer: Answer) => Answer {
  return (answer) => {
    metrics.admissionSeconds((performance.now() - started) / 1000);
    return answer;
  };
}

/** Reads a review. What of it outlives the body is no longer than names in Kubernetes are. */
function readBoundedReview(body: unknown): ReviewRequest | BadReview {
  const request = readReview(body);
  if (isBadReview(request)) {
    return request;
  }
  const long = (['uid', 'namespace'] as const).find((key) => request[key].length > maxNameLength);
  return long === undefined
    ? request
    : { place: `request.${long}`, expected: `at most ${maxNameLength} characters` };
}

function answerReview(
  request: ReviewRequest,
  url: string,
  parts: MutateParts,
  waiting: WaitingHosts,
): Answer | Promise<Answer> {
  const subject = subjectOf(request);
  let decision: Decision | undefined;
  try {
    decision = decide(request, parts.rules);
    return act(decision, subject, request.dryRun, url, parts, waiting);
  } catch (error) {
    return onBug(subject, decision, error, parts);
  }
}

function act(
  decision: Decision,
  subject: ReviewSubject,
  dryRun: boolean,
  url: string,
  parts: MutateParts,
  waiting: WaitingHosts,
): Answer | Promise<Answer> {
  const { uid, namespace } = subject;
  if (decision.action === 'leave') {
    return tell('left', subject, decision.reason, parts, answerTo(uid, { allowed: true }));
  }
  if (decision.action === 'warn') {
    return warn(subject, decision, parts);
  }
  const { patch, reason, registries } = decision;
  if (dryRun) {
    return tell('dry-run', subject, reason, parts, answerTo(uid, { allowed: true, patch }));
  }
  if (parts.pullSecrets.covers(namespace, registries)) {
    return complete(subject, decision, parts);
  }
  const withinMs = answerWithinMs(timeoutOf(url), parts.deadlineMarginMs);
  const wait = waitOf(decision);
  return ensureThenAnswer(subject, wait, withinMs, parts, waiting).catch((error: unknown) =>
    onBug(subject, wait, error, parts),
  );
}

/** What is kept while an answer waits. */
interface Wait extends Ensure {
  /** The first of the hosts that are too many for one pod. */
  readonly surplus: string | undefined;
}

function waitOf({ registries, ...decision }: Ensure): Wait {
  return {
    ...decision,
    registries: registries.slice(0, maxHostsPerPod),
    surplus: registries[maxHostsPerPod]?.host,
  };
}

async function ensureThenAnswer(
  subject: ReviewSubject,
  wait: Wait,
  withinMs: number,
  parts: MutateParts,
  waiting: WaitingHosts,
): Promise<Answer> {
  const missing = await ensuredWithin(withinMs, subject.namespace, wait.registries, parts, waiting);
  if (wait.surplus !== undefined) {
    missing.push(secretFull(wait.surplus));
  }
  if (missing.length === 0) {
    return complete(subject, wait, parts);
  }
  const { uid } = subject;
  const warning = missingTokenWarning(missing);
  const denied = parts.onFailure === 'deny';
  const verdict = denied
    ? { allowed: false, message: warning }
    : { allowed: true, patch: wait.patch, warnings: [warning] };
  const outcome = denied ? 'denied' : 'incomplete';
  return tell(outcome, subject, wait.reason, parts, answerTo(uid, verdict), missing);
}

/** Rejects if `ensure` does so in time. If it does later, the answer has gone out and the error is logged here. */
async function ensuredWithin(
  ms: number,
  namespace: string,
  registries: readonly Registry[],
  { pullSecrets, log }: MutateParts,
  waiting: WaitingHosts,
): Promise<Shortfall[]> {
  if (!waiting.begin(namespace, registries.length)) {
    return registries.map(({ host }) => overloaded(host));
  }
  const answered = new AbortController();
  const ensure = async () => await pullSecrets.ensure(namespace, registries);
  const ensured = ensure().finally(() => waiting.end(namespace, registries.length));
  const deadline = sleep(ms, 'deadline' as const, { signal: answered.signal }).catch(() => [] as Shortfall[]);
  const result = await Promise.race([ensured, deadline]).finally(() => answered.abort());
  if (result !== 'deadline') {
    return [...result];
  }
  ensured.catch((error: unknown) => log.error({ namespace, err: error }, 'failed to ensure a pull Secret'));
  return registries
    .filter((registry) => !pullSecrets.covers(namespace, [registry]))
    .map(({ host }) => tooLate(host));
}

function overloaded(host: string): Shortfall {
  return { host, code: 'overloaded', text: 'too many pods are waiting; recreate the pod' };
}

function tooLate(host: string): Shortfall {
  return { host, code: 'deadline', text: 'not ready in time, still trying' };
}

/** Never denies, whatever `onFailure` is, because the pod may have other credentials for the host. */
function warn(subject: ReviewSubject, { reason, registries }: Warn, parts: MutateParts): Answer {
  const text = missingReferenceWarning(subject.resource);
  const missing = registries.slice(0, maxHostsPerPod).map(({ host }) => ({ host, code: reason, text }));
  const body = answerTo(subject.uid, { allowed: true, warnings: [text] });
  return tell('warned', subject, reason, parts, body, missing);
}

function complete(subject: ReviewSubject, { patch, reason }: Ensure, parts: MutateParts): Answer {
  const outcome = patch ? 'injected' : 'covered';
  return tell(outcome, subject, reason, parts, answerTo(subject.uid, { allowed: true, patch }));
}

/** Logs and counts an answer, and makes it one. */
function tell(
  outcome: Outcome,
  subject: ReviewSubject,
  reason: string,
  { log, metrics }: MutateParts,
  body: string,
  missing: readonly Shortfall[] = [],
): Answer {
  metrics.review(outcome, reason);
  const level = missing.length > 0 ? 'warn' : outcome === 'left' ? 'debug' : 'info';
  if (log.isLevelEnabled(level)) {
    log[level](describeReview(subject, outcome, reason, missing), 'pod review');
  }
  return { status: 200, body };
}

/**
 * The answer after an error that should not be. What was decided before still holds: a pod that is admitted without the
 * reference can never get it.
 */
function onBug(
  { uid, namespace }: ReviewSubject,
  decision: Decision | undefined,
  error: unknown,
  { onFailure, log, metrics }: MutateParts,
): Answer {
  metrics.review('error', 'internal-error');
  log.error({ uid, namespace, err: error }, 'failed to answer a review');
  const message = 'ecr-pull-secrets: internal error, see its log';
  const patch = decision?.action === 'ensure' ? decision.patch : undefined;
  const verdict =
    onFailure === 'deny' ? { allowed: false, message } : { allowed: true, patch, warnings: [message] };
  return { status: 200, body: answerTo(uid, verdict) };
}
