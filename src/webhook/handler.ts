import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from '../ecr/registry.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import { secretFullHost, type UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import type { Log } from '../telemetry/log.ts';
import {
  type AdmissionRequest,
  getResponseTimeoutMs,
  getTimeoutParameter,
  type InvalidReview,
  isInvalidReview,
  parseReview,
} from './admission-request.ts';
import { formatAdmissionReview, formatErrorBody } from './admission-response.ts';
import {
  type Decision,
  type DecisionRules,
  decide,
  type EnsureDecision,
  type WarnDecision,
} from './decision.ts';
import { maxHostsPerPod, maxNameLength, maxPendingHosts, maxPendingHostsPerNamespace } from './limits.ts';
import { describeReview, getSubject, type ReviewSubject } from './review-log.ts';
import { PendingHostCounter } from './waiting-hosts.ts';
import { formatMissingReferenceWarning, formatMissingTokenWarning } from './warnings.ts';

export interface AdmissionHandlerDependencies {
  readonly rules: DecisionRules;
  readonly onFailure: 'admit' | 'deny';
  readonly deadlineMarginMs: number;
  readonly pullSecrets: Pick<PullSecrets, 'hasFreshTokens' | 'ensure'>;
  readonly log: Log;
  readonly metrics: {
    /** Counts an answer by its outcome and the reason of the decision. */
    review(outcome: AdmissionOutcome, reason: string): void;
    admissionSeconds(seconds: number): void;
  };
}

/** How a review ended. */
type AdmissionOutcome =
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
export interface WebhookResponse {
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
export function createAdmissionHandler(
  dependencies: AdmissionHandlerDependencies,
): (body: unknown, url: string) => WebhookResponse | Promise<WebhookResponse> {
  const pendingHosts = new PendingHostCounter(maxPendingHosts, maxPendingHostsPerNamespace);
  return (body, url) => {
    const request = parseBoundedReview(body);
    if (isInvalidReview(request)) {
      dependencies.metrics.review('error', 'bad-review');
      return {
        status: 400,
        body: formatErrorBody('bad-review', `${request.path}: expected ${request.expected}`),
      };
    }
    const observeDuration = createDurationObserver(performance.now(), dependencies);
    const response = handleRequest(request, url, dependencies, pendingHosts);
    return response instanceof Promise ? response.then(observeDuration) : observeDuration(response);
  };
}

/** Observes the duration of a review. Not inline, because a closure would keep the body with it. */
function createDurationObserver(
  startedAt: number,
  { metrics }: AdmissionHandlerDependencies,
): (response: WebhookResponse) => WebhookResponse {
  return (response) => {
    metrics.admissionSeconds((performance.now() - startedAt) / 1000);
    return response;
  };
}

/** Reads a review. What of it outlives the body is no longer than names in Kubernetes are. */
function parseBoundedReview(body: unknown): AdmissionRequest | InvalidReview {
  const request = parseReview(body);
  if (isInvalidReview(request)) {
    return request;
  }
  const tooLong = (['uid', 'namespace'] as const).find((key) => request[key].length > maxNameLength);
  return tooLong === undefined
    ? request
    : { path: `request.${tooLong}`, expected: `at most ${maxNameLength} characters` };
}

function handleRequest(
  request: AdmissionRequest,
  url: string,
  dependencies: AdmissionHandlerDependencies,
  pendingHosts: PendingHostCounter,
): WebhookResponse | Promise<WebhookResponse> {
  const subject = getSubject(request);
  let decision: Decision | undefined;
  try {
    decision = decide(request, dependencies.rules);
    return executeDecision(decision, subject, request.dryRun, url, dependencies, pendingHosts);
  } catch (error) {
    return respondToInternalError(subject, decision, error, dependencies);
  }
}

function executeDecision(
  decision: Decision,
  subject: ReviewSubject,
  dryRun: boolean,
  url: string,
  dependencies: AdmissionHandlerDependencies,
  pendingHosts: PendingHostCounter,
): WebhookResponse | Promise<WebhookResponse> {
  const { uid, namespace } = subject;
  if (decision.action === 'leave') {
    return recordResponse(
      'left',
      subject,
      decision.reason,
      dependencies,
      formatAdmissionReview(uid, { allowed: true }),
    );
  }
  if (decision.action === 'warn') {
    return respondWithWarning(subject, decision, dependencies);
  }
  const { patch, reason, registries } = decision;
  if (dryRun) {
    return recordResponse(
      'dry-run',
      subject,
      reason,
      dependencies,
      formatAdmissionReview(uid, { allowed: true, patch }),
    );
  }
  if (dependencies.pullSecrets.hasFreshTokens(namespace, registries)) {
    return respondWithTokens(subject, decision, dependencies);
  }
  const timeoutMs = getResponseTimeoutMs(getTimeoutParameter(url), dependencies.deadlineMarginMs);
  const pending = limitHosts(decision);
  return ensureAndRespond(subject, pending, timeoutMs, dependencies, pendingHosts).catch((error: unknown) =>
    respondToInternalError(subject, pending, error, dependencies),
  );
}

/** What is kept while an answer waits. */
interface PendingEnsure extends EnsureDecision {
  /** The first of the hosts that are too many for one pod. */
  readonly excessHost: string | undefined;
}

function limitHosts({ registries, ...decision }: EnsureDecision): PendingEnsure {
  return {
    ...decision,
    registries: registries.slice(0, maxHostsPerPod),
    excessHost: registries[maxHostsPerPod]?.host,
  };
}

async function ensureAndRespond(
  subject: ReviewSubject,
  pending: PendingEnsure,
  timeoutMs: number,
  dependencies: AdmissionHandlerDependencies,
  pendingHosts: PendingHostCounter,
): Promise<WebhookResponse> {
  const missing = await ensureWithTimeout(
    timeoutMs,
    subject.namespace,
    pending.registries,
    dependencies,
    pendingHosts,
  );
  if (pending.excessHost !== undefined) {
    missing.push(secretFullHost(pending.excessHost));
  }
  if (missing.length === 0) {
    return respondWithTokens(subject, pending, dependencies);
  }
  const { uid } = subject;
  const warning = formatMissingTokenWarning(missing);
  const isDenied = dependencies.onFailure === 'deny';
  const response = isDenied
    ? { allowed: false, message: warning }
    : { allowed: true, patch: pending.patch, warnings: [warning] };
  const outcome = isDenied ? 'denied' : 'incomplete';
  return recordResponse(
    outcome,
    subject,
    pending.reason,
    dependencies,
    formatAdmissionReview(uid, response),
    missing,
  );
}

/** Rejects if `ensure` does so in time. If it does later, the answer has gone out and the error is logged here. */
async function ensureWithTimeout(
  timeoutMs: number,
  namespace: string,
  registries: readonly Registry[],
  { pullSecrets, log }: AdmissionHandlerDependencies,
  pendingHosts: PendingHostCounter,
): Promise<UnavailableHost[]> {
  if (!pendingHosts.tryAdd(namespace, registries.length)) {
    return registries.map(({ host }) => toOverloadedHost(host));
  }
  const settled = new AbortController();
  const ensure = async () => await pullSecrets.ensure(namespace, registries);
  const ensuring = ensure().finally(() => pendingHosts.remove(namespace, registries.length));
  const deadline = sleep(timeoutMs, 'deadline' as const, { signal: settled.signal }).catch(
    () => [] as UnavailableHost[],
  );
  const result = await Promise.race([ensuring, deadline]).finally(() => settled.abort());
  if (result !== 'deadline') {
    return [...result];
  }
  ensuring.catch((error: unknown) => log.error({ namespace, err: error }, 'failed to ensure a pull Secret'));
  return registries
    .filter((registry) => !pullSecrets.hasFreshTokens(namespace, [registry]))
    .map(({ host }) => toTimedOutHost(host));
}

function toOverloadedHost(host: string): UnavailableHost {
  return { host, code: 'overloaded', text: 'too many pods are waiting; recreate the pod' };
}

function toTimedOutHost(host: string): UnavailableHost {
  return { host, code: 'deadline', text: 'not ready in time, still trying' };
}

/** Never denies, whatever `onFailure` is, because the pod may have other credentials for the host. */
function respondWithWarning(
  subject: ReviewSubject,
  { reason, registries }: WarnDecision,
  dependencies: AdmissionHandlerDependencies,
): WebhookResponse {
  const text = formatMissingReferenceWarning(subject.resource);
  const missing = registries.slice(0, maxHostsPerPod).map(({ host }) => ({ host, code: reason, text }));
  const body = formatAdmissionReview(subject.uid, { allowed: true, warnings: [text] });
  return recordResponse('warned', subject, reason, dependencies, body, missing);
}

function respondWithTokens(
  subject: ReviewSubject,
  { patch, reason }: EnsureDecision,
  dependencies: AdmissionHandlerDependencies,
): WebhookResponse {
  const outcome = patch ? 'injected' : 'covered';
  return recordResponse(
    outcome,
    subject,
    reason,
    dependencies,
    formatAdmissionReview(subject.uid, { allowed: true, patch }),
  );
}

/** Logs and counts an answer, and makes it one. */
function recordResponse(
  outcome: AdmissionOutcome,
  subject: ReviewSubject,
  reason: string,
  { log, metrics }: AdmissionHandlerDependencies,
  body: string,
  missing: readonly UnavailableHost[] = [],
): WebhookResponse {
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
function respondToInternalError(
  { uid, namespace }: ReviewSubject,
  decision: Decision | undefined,
  error: unknown,
  { onFailure, log, metrics }: AdmissionHandlerDependencies,
): WebhookResponse {
  metrics.review('error', 'internal-error');
  log.error({ uid, namespace, err: error }, 'failed to answer a review');
  const message = 'ecr-pull-secrets: internal error, see its log';
  const patch = decision?.action === 'ensure' ? decision.patch : undefined;
  const response =
    onFailure === 'deny' ? { allowed: false, message } : { allowed: true, patch, warnings: [message] };
  return { status: 200, body: formatAdmissionReview(uid, response) };
}
