// Handles one admission request: decides, ensures the tokens, and creates the response.

import {
  type Decision,
  type DecisionRules,
  decide,
  type EnsureDecision,
  type WarnDecision,
} from '../injection/decision.ts';
import {
  deniedHost,
  isDenied,
  secretFullHost,
  type UnavailableHost,
} from '../pull-secrets/unavailable-host.ts';
import {
  type AdmissionRequest,
  getResponseTimeoutMs,
  getTimeoutParameter,
  type InvalidReview,
  isInvalidReview,
  parseReview,
} from './admission-request.ts';
import { formatAdmissionReview, formatErrorBody } from './admission-response.ts';
import { type BoundedEnsureDependencies, ensureWithTimeout, PendingHostCounter } from './bounded-ensure.ts';
import { maxHostsPerPod, maxNameLength, maxPendingHosts, maxPendingHostsPerNamespace } from './limits.ts';
import { describeReview, getSubject, type ReviewSubject } from './review-log.ts';
import { formatMissingReferenceWarning, formatMissingTokenWarning } from './warnings.ts';

export interface AdmissionHandlerDependencies extends BoundedEnsureDependencies {
  readonly rules: DecisionRules;
  readonly onFailure: 'admit' | 'deny';
  readonly deadlineMarginMs: number;
  /** Called for each pod that is admitted although a token is missing. */
  onMissingToken?(): void;
  readonly metrics: {
    /** Counts a review by its outcome and the reason of the decision. */
    review(outcome: AdmissionOutcome, reason: string): void;
    admissionSeconds(seconds: number): void;
  };
}

/** The outcome of a review. Shown in the log and in metrics. */
type AdmissionOutcome =
  /** The reference was added, and the Secret has the pod's tokens. */
  | 'injected'
  /** The pod had the reference already, and the Secret has its tokens. */
  | 'unchanged'
  /** Admitted with the reference, but a token is missing. */
  | 'missing-token'
  /**
   * Admitted unchanged with a warning: a rule denies its tokens, or it has a new image, but no reference to the Secret, and can
   * no longer get one.
   */
  | 'warned'
  | 'dry-run'
  | 'skipped'
  | 'denied'
  | 'error';

/** An HTTP response: status and JSON. */
export interface WebhookResponse {
  readonly status: number;
  readonly body: string;
}

/**
 * Creates a function that handles one request. It never throws or rejects: an invalid review gets a 400, and after an unexpected
 * error the pod is admitted with the patch that was decided, or denied if `onFailure` is `deny`. If the Secret is known to have
 * fresh tokens, the response is immediate and needs no I/O. Otherwise no reference to the body is kept while the response is
 * pending, because a pod can have megabytes.
 * @returns a function of the parsed body and the URL with its query
 */
export function createAdmissionHandler(
  dependencies: AdmissionHandlerDependencies,
): (body: unknown, url: string) => WebhookResponse | Promise<WebhookResponse> {
  const pendingHosts = new PendingHostCounter(maxPendingHosts, maxPendingHostsPerNamespace);
  return (body, url) => {
    const request = parseBoundedReview(body);
    if (isInvalidReview(request)) {
      dependencies.metrics.review('error', 'invalid-review');
      return {
        status: 400,
        body: formatErrorBody('invalid-review', `${request.path}: expected ${request.expected}`),
      };
    }
    const observeDuration = createDurationObserver(performance.now(), dependencies);
    const response = handleRequest(request, url, dependencies, pendingHosts);
    return response instanceof Promise ? response.then(observeDuration) : observeDuration(response);
  };
}

/** Observes the duration of a review. A separate function, because an inline closure would keep a reference to the body. */
function createDurationObserver(
  startedAt: number,
  { metrics }: AdmissionHandlerDependencies,
): (response: WebhookResponse) => WebhookResponse {
  return (response) => {
    metrics.admissionSeconds((performance.now() - startedAt) / 1000);
    return response;
  };
}

/** Parses a review, and bounds the length of the fields that outlive its body. */
function parseBoundedReview(body: unknown): AdmissionRequest | InvalidReview {
  const request = parseReview(body);
  if (isInvalidReview(request)) {
    return request;
  }
  const tooLongField = (['uid', 'namespace'] as const).find((key) => request[key].length > maxNameLength);
  return tooLongField === undefined
    ? request
    : { path: `request.${tooLongField}`, expected: `at most ${maxNameLength} characters` };
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
  if (decision.action === 'skip') {
    return recordResponse(
      'skipped',
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
    const denied = decision.denied.map(deniedHost);
    return recordResponse(
      'dry-run',
      subject,
      reason,
      dependencies,
      formatAdmissionReview(uid, { allowed: true, patch, ...formatWarnings(denied) }),
    );
  }
  if (dependencies.pullSecrets.hasFreshTokens(namespace, registries)) {
    return respondWithTokens(subject, decision, decision.denied.map(deniedHost), dependencies);
  }
  const timeoutMs = getResponseTimeoutMs(getTimeoutParameter(url), dependencies.deadlineMarginMs);
  const pending = limitHosts(decision);
  return ensureAndRespond(subject, pending, timeoutMs, dependencies, pendingHosts).catch((error: unknown) =>
    respondToInternalError(subject, pending, error, dependencies),
  );
}

/** What is kept while the response is pending. */
interface PendingEnsure extends EnsureDecision {
  /** The first host beyond the maximum for one pod, if any. */
  readonly excessHost: string | undefined;
}

function limitHosts({ registries, denied, ...decision }: EnsureDecision): PendingEnsure {
  return {
    ...decision,
    registries: registries.slice(0, maxHostsPerPod),
    denied: denied.slice(0, maxHostsPerPod),
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
  const unavailable = await ensureWithTimeout(
    timeoutMs,
    subject.namespace,
    pending.registries,
    dependencies,
    pendingHosts,
  );
  // The labels of a new namespace may have become known only after the decision.
  const denied = [...unavailable.filter(isDenied), ...pending.denied.map(deniedHost)];
  const missing = unavailable.filter((host) => !isDenied(host));
  if (pending.excessHost !== undefined) {
    missing.push(secretFullHost(pending.excessHost));
  }
  if (denied.length === pending.registries.length + pending.denied.length) {
    return respondWithDenial(subject, denied, dependencies);
  }
  if (missing.length === 0) {
    return respondWithTokens(subject, pending, denied, dependencies);
  }
  const { uid } = subject;
  const warning = formatMissingTokenWarning([...missing, ...denied]);
  const isRejected = dependencies.onFailure === 'deny';
  const response = isRejected
    ? { allowed: false, message: warning }
    : { allowed: true, patch: pending.patch, warnings: [warning] };
  const outcome = isRejected ? 'denied' : 'missing-token';
  if (!isRejected) {
    dependencies.onMissingToken?.();
  }
  return recordResponse(
    outcome,
    subject,
    pending.reason,
    dependencies,
    formatAdmissionReview(uid, response),
    [...missing, ...denied],
  );
}

/** Admits the pod even if `onFailure` is `deny`, because the pod may have other credentials for the host. */
function respondWithWarning(
  subject: ReviewSubject,
  decision: WarnDecision,
  dependencies: AdmissionHandlerDependencies,
): WebhookResponse {
  const { reason } = decision;
  if (reason === 'denied-by-rule') {
    return respondWithDenial(subject, decision.denied.slice(0, maxHostsPerPod).map(deniedHost), dependencies);
  }
  const text = formatMissingReferenceWarning(subject.resource);
  const missing = decision.registries
    .slice(0, maxHostsPerPod)
    .map(({ host }) => ({ host, code: reason, text }));
  const body = formatAdmissionReview(subject.uid, { allowed: true, warnings: [text] });
  return recordResponse('warned', subject, reason, dependencies, body, missing);
}

/** Admits the pod unchanged, because rules deny the tokens of all its registries. */
function respondWithDenial(
  subject: ReviewSubject,
  denied: readonly UnavailableHost[],
  dependencies: AdmissionHandlerDependencies,
): WebhookResponse {
  const body = formatAdmissionReview(subject.uid, { allowed: true, ...formatWarnings(denied) });
  return recordResponse('warned', subject, 'denied-by-rule', dependencies, body, denied);
}

function respondWithTokens(
  subject: ReviewSubject,
  { patch, reason }: EnsureDecision,
  denied: readonly UnavailableHost[],
  dependencies: AdmissionHandlerDependencies,
): WebhookResponse {
  const outcome = patch ? 'injected' : 'unchanged';
  const response = { allowed: true, patch, ...formatWarnings(denied) };
  return recordResponse(
    outcome,
    subject,
    reason,
    dependencies,
    formatAdmissionReview(subject.uid, response),
    denied,
  );
}

/** One warning about all hosts without a token, or none. */
function formatWarnings(hosts: readonly UnavailableHost[]): { warnings?: string[] } {
  return hosts.length === 0 ? {} : { warnings: [formatMissingTokenWarning(hosts)] };
}

/** Logs and counts a review, and creates its HTTP response. */
function recordResponse(
  outcome: AdmissionOutcome,
  subject: ReviewSubject,
  reason: string,
  { log, metrics }: AdmissionHandlerDependencies,
  body: string,
  missing: readonly UnavailableHost[] = [],
): WebhookResponse {
  metrics.review(outcome, reason);
  const isProblem = missing.some((host) => !isDenied(host));
  const level = isProblem ? 'warn' : outcome === 'skipped' ? 'debug' : 'info';
  if (log.isLevelEnabled(level)) {
    log[level](describeReview(subject, outcome, reason, missing), 'handled admission request');
  }
  return { status: 200, body };
}

/**
 * The response after an unexpected error. The patch is applied if it was already decided, because a pod that is admitted without
 * the reference can never get it.
 */
function respondToInternalError(
  { uid, namespace }: ReviewSubject,
  decision: Decision | undefined,
  error: unknown,
  { onFailure, log, metrics }: AdmissionHandlerDependencies,
): WebhookResponse {
  metrics.review('error', 'internal-error');
  log.error({ uid, namespace, err: error }, 'failed to handle admission request');
  const message = 'ecr-pull-secrets: internal error; see the webhook log';
  const patch = decision?.action === 'ensure' ? decision.patch : undefined;
  const response =
    onFailure === 'deny' ? { allowed: false, message } : { allowed: true, patch, warnings: [message] };
  return { status: 200, body: formatAdmissionReview(uid, response) };
}
