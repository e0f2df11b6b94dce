import { setTimeout as sleep } from 'node:timers/promises';
import type { PullSecrets } from '../secrets/ensure.ts';
import type { Shortfall } from '../secrets/shortfall.ts';
import type { Log } from '../telemetry/log.ts';
import { answerTo, errorBody } from './answer.ts';
import { answerWithinMs, timeoutOf } from './deadline.ts';
import { type DecisionRules, decide, type Ensure } from './decision.ts';
import { isBadReview, type ReviewRequest, readReview } from './review.ts';
import { describeReview } from './telling.ts';
import { missingTokenWarning } from './warning.ts';

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
 * and a bug of ours gets the pod admitted (or denied, where the operator chose that). Where the Secret is known to be
 * fresh the answer comes at once, without any I/O.
 * @returns takes the parsed body, and the address of the call with its query
 */
export function reviewAnswerer(parts: MutateParts): (body: unknown, url: string) => Answer | Promise<Answer> {
  return (body, url) => {
    const request = readReview(body);
    if (isBadReview(request)) {
      parts.metrics.review('error', 'bad-review');
      return { status: 400, body: errorBody('bad-review', `${request.place}: expected ${request.expected}`) };
    }
    const started = performance.now();
    const timed = (answer: Answer) => {
      parts.metrics.admissionSeconds((performance.now() - started) / 1000);
      return answer;
    };
    try {
      const answer = answerReview(request, url, parts);
      return answer instanceof Promise
        ? answer.catch((error: unknown) => onBug(request, error, parts)).then(timed)
        : timed(answer);
    } catch (error) {
      return timed(onBug(request, error, parts));
    }
  };
}

function answerReview(request: ReviewRequest, url: string, parts: MutateParts): Answer | Promise<Answer> {
  const { uid, namespace } = request;
  const decision = decide(request, parts.rules);
  if (decision.action === 'leave') {
    return tell('left', request, decision.reason, parts, answerTo(uid, { allowed: true }));
  }
  const { patch, reason, registries } = decision;
  if (request.dryRun) {
    return tell('dry-run', request, reason, parts, answerTo(uid, { allowed: true, patch }));
  }
  if (parts.pullSecrets.covers(namespace, registries)) {
    return complete(request, decision, parts);
  }
  return ensureThenAnswer(request, decision, answerWithinMs(timeoutOf(url), parts.deadlineMarginMs), parts);
}

async function ensureThenAnswer(
  request: ReviewRequest,
  decision: Ensure,
  withinMs: number,
  parts: MutateParts,
): Promise<Answer> {
  const missing = await ensuredWithin(withinMs, request.namespace, decision, parts);
  if (missing.length === 0) {
    return complete(request, decision, parts);
  }
  const { uid } = request;
  const warning = missingTokenWarning(missing);
  const denied = parts.onFailure === 'deny';
  const verdict = denied
    ? { allowed: false, message: warning }
    : { allowed: true, patch: decision.patch, warnings: [warning] };
  return tell(
    denied ? 'denied' : 'incomplete',
    request,
    decision.reason,
    parts,
    answerTo(uid, verdict),
    missing,
  );
}

async function ensuredWithin(
  ms: number,
  namespace: string,
  { registries }: Ensure,
  { pullSecrets, log }: MutateParts,
): Promise<Shortfall[]> {
  const answered = new AbortController();
  const ensured = pullSecrets.ensure(namespace, registries);
  const deadline = sleep(ms, undefined, { signal: answered.signal }).then(
    () =>
      registries
        .filter((registry) => !pullSecrets.covers(namespace, [registry]))
        .map(({ host }) => tooLate(host)),
    () => [],
  );
  try {
    return await Promise.race([ensured, deadline]);
  } finally {
    answered.abort();
    ensured.catch((error: unknown) => log.error({ namespace, err: error }, 'ensuring a pull Secret failed'));
  }
}

function tooLate(host: string): Shortfall {
  return { host, code: 'deadline', text: 'not ready in time, still trying' };
}

function complete(request: ReviewRequest, { patch, reason }: Ensure, parts: MutateParts): Answer {
  const outcome = patch ? 'injected' : 'covered';
  return tell(outcome, request, reason, parts, answerTo(request.uid, { allowed: true, patch }));
}

/** Logs and counts an answer, and makes it one. */
function tell(
  outcome: Outcome,
  request: ReviewRequest,
  reason: string,
  { log, metrics }: MutateParts,
  body: string,
  missing: readonly Shortfall[] = [],
): Answer {
  metrics.review(outcome, reason);
  const level = missing.length > 0 ? 'warn' : outcome === 'left' ? 'debug' : 'info';
  if (log.isLevelEnabled(level)) {
    log[level](describeReview(request, outcome, reason, missing), 'pod review');
  }
  return { status: 200, body };
}

function onBug(request: ReviewRequest, error: unknown, { onFailure, log, metrics }: MutateParts): Answer {
  metrics.review('error', 'internal-error');
  log.error({ uid: request.uid, namespace: request.namespace, err: error }, 'a review could not be answered');
  const message = 'ecr-pull-secrets: internal error, see its log';
  const verdict = onFailure === 'deny' ? { allowed: false, message } : { allowed: true, warnings: [message] };
  return { status: 200, body: answerTo(request.uid, verdict) };
}
