// Why there is no ECR token: TokenError, and how errors of the AWS SDK are classified.
import { getField } from '../util/json.ts';
import { type Cause, causes, codeAliases, endpointErrorCodes, publicAccessAdvice } from './error-catalog.ts';
import type { Registry } from './registry.ts';

/** So that a `kubectl` warning has room for it beside the host. */
const maxShortCauseLength = 40;

interface TokenErrorDetails {
  readonly code: string;
  readonly region: string;
  /** What happened, as a sentence without a final period; by default, the cause's summary. */
  readonly description?: string;
  /** A code of Node or AWS that says more than the code of this program. */
  readonly detail?: string | undefined;
  /** What there is none of; by default, an ECR token for the region. */
  readonly subject?: string;
  /** For codes that the catalog does not list. */
  readonly cause?: Cause;
  readonly retryAt?: number;
}

/**
 * Why there is no token for a region. Of the response of AWS, it contains only the error code and the ARN of the
 * principal that was denied. It has no `cause`, because errors of the SDK contain whole responses with their headers.
 */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  /** The error code of AWS (`AccessDeniedException`), or a code of this program (`timeout`, `network`, …). */
  readonly code: string;
  /** The operator has to change something. The call is still retried, but less often. */
  readonly permanent: boolean;
  readonly region: string;
  /** At most 40 characters, for a warning in kubectl. */
  readonly shortCause: string;
  /** What happened, as a sentence without a final period. */
  readonly description: string;
  /** What the operator can do, as a sentence without a final period. */
  readonly advice: string;
  /** When the next call for the region is allowed, in ms since the epoch by the wall clock; undefined: at any time. */
  readonly retryAt: number | undefined;
  readonly #details: TokenErrorDetails;

  constructor(details: TokenErrorDetails) {
    const { code, region, detail, retryAt } = details;
    const cause = details.cause ?? causes.get(code) ?? unknownCause;
    const short = `${cause.summary ?? code}${detail === undefined ? '' : ` (${detail})`}`;
    const { subject = `ECR token for ${region}`, description = short } = details;
    super(`No ${subject}: ${description}. ${cause.advice}.`);
    this.code = code;
    this.permanent = cause.permanent;
    this.region = region;
    this.shortCause = truncateCause(short, cause.permanent);
    this.description = description;
    this.advice = cause.advice;
    this.retryAt = retryAt;
    this.#details = details;
  }

  /** Returns the same error with other advice, as a sentence without a final period. */
  withAdvice(advice: string): TokenError {
    const cause = this.#details.cause ?? causes.get(this.code) ?? unknownCause;
    return new TokenError({ ...this.#details, cause: { ...cause, advice } });
  }

  /**
   * Returns the same failure with other words.
   * @param description what happened, as a sentence without a final period
   * @param advice what the operator can do; by default, the same
   * @param code by default, the same
   */
  explain(description: string, advice?: string, code = this.code): TokenError {
    const { cause = causes.get(this.code) ?? unknownCause, ...details } = this.#details;
    const summary = code === this.code ? (cause.summary ?? code) : (causes.get(code)?.summary ?? code);
    return new TokenError({
      ...details,
      code,
      description,
      cause: { ...cause, summary, advice: advice ?? cause.advice },
    });
  }

  /** Returns the same error about something else than an ECR token, such as `AWS identity`. */
  about(subject: string): TokenError {
    return new TokenError({ ...this.#details, subject });
  }

  /** Returns the same error with the time of the next allowed call, in ms since the epoch. */
  withRetryAt(retryAt: number): TokenError {
    return new TokenError({ ...this.#details, retryAt });
  }
}

const unknownCause: Cause = { permanent: false, advice: 'The call is retried' };
const rejectedCause: Cause = {
  permanent: true,
  advice: 'AWS rejected the call; look up this error in the AWS documentation',
};

function truncateCause(summary: string, permanent: boolean): string {
  const full = permanent ? `${summary} (permanent)` : summary;
  return full.length <= maxShortCauseLength ? full : summary.slice(0, maxShortCauseLength);
}

/**
 * Classifies an error of the AWS SDK by its code, name and HTTP status, never by its text. Accepts anything that was
 * thrown, and returns a TokenError unchanged.
 * @param rule path of the rule whose identity was used, for the message
 */
export function classifyError(error: unknown, region: string, rule?: string): TokenError {
  if (error instanceof TokenError) {
    return error;
  }
  for (const code of [
    toCode(getField(error, 'code')),
    toCode(getField(error, 'name')),
    toCode(getField(error, 'Code')),
  ]) {
    const ownCode = codeAliases.get(code);
    const variable = getField(error, 'proxyVariable');
    if (
      typeof variable === 'string' &&
      (ownCode === 'network' || ownCode === 'timeout' || ownCode === 'proxy')
    ) {
      return createProxyError(error, code, variable, region);
    }
    if (ownCode !== undefined) {
      return createOwnError(error, ownCode, code, region);
    }
    if (causes.has(code)) {
      return createRejectedError(error, code, region, rule);
    }
  }
  return classifyByStatus(error, region);
}

/**
 * Classifies an error of GetAuthorizationToken itself, not of the credentials for it. The public registry needs other
 * permissions, and a configured endpoint may be the cause where the network would be otherwise.
 */
export function classifyTokenApiError(error: unknown, registry: Registry, rule?: string): TokenError {
  const failure = classifyError(error, registry.region, rule);
  if (registry.kind === 'public' && failure.code === 'AccessDeniedException') {
    return failure.withAdvice(publicAccessAdvice);
  }
  if (registry.endpoint !== undefined && endpointErrorCodes.has(failure.code)) {
    return failure.withAdvice(`Check the endpoint ${registry.endpoint} in hosts, and the network to it`);
  }
  return failure;
}

/** Whether the credentials may be the cause, so that they should be read again. */
export function isCredentialError({ code }: TokenError): boolean {
  return causes.get(code)?.isCredentialError === true;
}

function createRejectedError(
  error: unknown,
  code: string,
  region: string,
  rule: string | undefined,
): TokenError {
  const caller = [findPrincipal(error), rule].filter((part) => part !== undefined).join(' of ');
  return new TokenError({
    code,
    region,
    ...(caller !== '' && { description: `AWS returned ${code} for ${caller}` }),
  });
}

/**
 * Creates an error with a code of this program.
 * @param code of AWS or Node
 */
function createOwnError(error: unknown, ownCode: string, code: string, region: string): TokenError {
  const host = getField(error, 'hostname');
  if (code === 'ENOTFOUND' && typeof host === 'string' && region !== '' && host.split('.').includes(region)) {
    const description = `there is no endpoint for region ${region} (${code})`;
    return new TokenError({ code: ownCode, region, detail: code, description, cause: noEndpointCause });
  }
  const isInvalidNow = code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID';
  return new TokenError({
    code: ownCode,
    region,
    ...(isInvalidNow && { cause: invalidNowCause }),
    detail: ownCode === 'network' || ownCode === 'tls' ? code : undefined,
  });
}

/** The name of the endpoint, which contains the region, does not exist. */
const noEndpointCause: Cause = {
  permanent: false,
  summary: 'no such region',
  advice:
    'Check the spelling of the region in the image name; if the region exists, check DNS and network connectivity to AWS',
};

const invalidNowCause: Cause = {
  permanent: true,
  summary: 'TLS error',
  advice:
    'The certificate of the endpoint or proxy has expired or is not valid yet: check the system clock, then renew the certificate',
};

/** @param variable the environment variable that the proxy is from */
function createProxyError(error: unknown, code: string, variable: string, region: string): TokenError {
  const status = getField(error, 'statusCode');
  const address = getField(error, 'proxyAddress');
  const proxy = `the proxy in ${variable}${typeof address === 'string' ? ` (${address})` : ''}`;
  if (status === 407) {
    const cause = {
      ...(causes.get('proxy-authentication') ?? unknownCause),
      advice: `Check the user name and password of ${proxy}`,
    };
    return new TokenError({ code: 'proxy-authentication', region, cause });
  }
  const isRefused = typeof status === 'number' && status >= 400;
  const cause = {
    ...(causes.get('proxy') ?? unknownCause),
    advice: isRefused
      ? `Allow the host in ${proxy}, which refuses it with HTTP ${status}, or add the host to NO_PROXY`
      : `Check ${proxy}, or add the host to NO_PROXY`,
  };
  return new TokenError({ code: 'proxy', region, cause, detail: code });
}

function classifyByStatus(error: unknown, region: string): TokenError {
  const status = getField(getField(error, '$metadata'), 'httpStatusCode');
  if (typeof status !== 'number' || status < 400) {
    const detail = [getField(error, 'code'), getField(error, 'name')].find(isSafeToShow);
    return new TokenError({ code: 'unknown', region, detail });
  }
  if (status === 429 || status >= 500) {
    return new TokenError({ code: status === 429 ? 'throttled' : 'server-error', region });
  }
  const name = getField(error, 'name');
  const code = isSafeToShow(name) && !genericNames.includes(name) ? name : `http-${status}`;
  return new TokenError({ code, region, cause: rejectedCause });
}

/** The SDK's names for errors without a code in the response. */
const genericNames: readonly string[] = [
  'Error',
  'TypeError',
  'UnknownError',
  'Unknown',
  'ECRServiceException',
  'ECRPUBLICServiceException',
];

/** Returns a value that may be a known code; otherwise an empty string. */
function toCode(value: unknown): string {
  return typeof value === 'string' && /^\w{1,64}$/.test(value) ? value : '';
}

/**
 * Whether an unknown code may be shown in logs, metrics and warnings. It may come from any server that responds as AWS,
 * so it must have the form of the codes of AWS or Node, which no credential has.
 */
function isSafeToShow(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    /^(?:[A-Z][A-Za-z]{2,50}(?:Exception|Error|Fault|Failure)|E[A-Z]{3,20}|[A-Z]{2,20}(?:_[A-Z]{1,20}){1,6})$/.test(
      value,
    )
  );
}

function findPrincipal(error: unknown): string | undefined {
  const text: unknown = error instanceof Error ? error.message : '';
  // the SDK copies `message` from the response, whatever its type is
  return typeof text === 'string' ? findPrincipalArn(text) : undefined;
}

/** Finds the denied principal in a message of IAM. The rest of it may contain the request with signature and session token. */
export function findPrincipalArn(message: string): string | undefined {
  return /\barn:aws[a-z-]{0,16}:(?:iam|sts)::\d{12}:[\w+=,.@/-]{1,200}/.exec(message)?.[0];
}
