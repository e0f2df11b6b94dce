import { getField } from '../util/json.ts';
import { type Cause, causes, codeAliases } from './error-catalog.ts';

/** Longer ones would be cut off where kubectl shows them beside a host. */
const maxShortCauseLength = 40;

interface TokenErrorDetails {
  readonly code: string;
  readonly region: string;
  /** What happened, as a sentence without its full stop; where it is not given, the code says it. */
  readonly description?: string;
  /** A word of ours or of Node's that tells more than the code. */
  readonly detail?: string | undefined;
  /** What is known of codes that our table does not hold. */
  readonly cause?: Cause;
  readonly retryAt?: number;
}

/**
 * Why there is no token for a region. Holds nothing of AWS's answer but its code and, if access was denied, the ARN
 * of whoever was denied: no `cause`, since errors of the SDK carry whole answers with their headers.
 */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  /** AWS's own code for what AWS refused (`AccessDeniedException`), else one of ours (`timeout`, `network`, …). */
  readonly code: string;
  /** Waiting does not help, a person has to change something. It is tried again all the same, only less often. */
  readonly permanent: boolean;
  readonly region: string;
  /** At most 40 characters, for a warning in kubectl. */
  readonly shortCause: string;
  /** When the region may be tried again, in ms since the epoch by the wall clock; undefined: any time. */
  readonly retryAt: number | undefined;
  readonly #details: TokenErrorDetails;

  constructor(details: TokenErrorDetails) {
    const { code, region, detail, retryAt } = details;
    const cause = details.cause ?? causes.get(code) ?? unknownCause;
    const short = `${cause.summary ?? code}${detail === undefined ? '' : ` (${detail})`}`;
    super(`No ECR token for ${region}: ${details.description ?? short}. ${cause.advice}.`);
    this.code = code;
    this.permanent = cause.permanent;
    this.region = region;
    this.shortCause = truncateCause(short, cause.permanent);
    this.retryAt = retryAt;
    this.#details = details;
  }

  /** The same failure, with the time from which the region may be tried again. */
  withRetryAt(retryAt: number): TokenError {
    return new TokenError({ ...this.#details, retryAt });
  }
}

const unknownCause: Cause = { permanent: false, advice: 'It is tried again' };
const refusedCause: Cause = { permanent: true, advice: 'AWS refused the call' };

function truncateCause(summary: string, permanent: boolean): string {
  const full = permanent ? `${summary} (permanent)` : summary;
  return full.length <= maxShortCauseLength ? full : summary.slice(0, maxShortCauseLength);
}

/**
 * What a failed call of the AWS SDK means: by the error's code, name and HTTP status, never by its text. Takes
 * anything that was thrown; a TokenError comes out as it is.
 */
export function classifyError(error: unknown, region: string): TokenError {
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
      return new TokenError({
        code: ownCode,
        region,
        detail: ownCode === 'network' || ownCode === 'tls' ? code : undefined,
      });
    }
    if (causes.has(code)) {
      return createRefusedError(error, code, region);
    }
  }
  return classifyByStatus(error, region);
}

/** Whether the credentials that were used may be at fault, so that they should be read anew. */
export function isCredentialError({ code }: TokenError): boolean {
  return causes.get(code)?.isCredentialError === true;
}

function createRefusedError(error: unknown, code: string, region: string): TokenError {
  const principal = findPrincipal(error);
  return new TokenError({
    code,
    region,
    ...(principal !== undefined && { description: `AWS answered ${code} to ${principal}` }),
  });
}

/** @param variable the environment variable that named the proxy */
function createProxyError(error: unknown, code: string, variable: string, region: string): TokenError {
  const ownCode = getField(error, 'statusCode') === 407 ? 'proxy-authentication' : 'proxy';
  const advice =
    ownCode === 'proxy'
      ? `Check the proxy in ${variable}, or add the host to NO_PROXY`
      : `Check the user name and password of the proxy in ${variable}`;
  const cause = { ...(causes.get(ownCode) ?? unknownCause), advice };
  return new TokenError({ code: ownCode, region, cause, detail: ownCode === 'proxy' ? code : undefined });
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
  return new TokenError({ code, region, cause: refusedCause });
}

/** Names that the SDK gives to errors whose answer held no code. */
const genericNames: readonly string[] = [
  'Error',
  'TypeError',
  'UnknownError',
  'Unknown',
  'ECRServiceException',
];

/** A code that may be one that we know; empty for anything else. */
function toCode(value: unknown): string {
  return typeof value === 'string' && /^\w{1,64}$/.test(value) ? value : '';
}

/**
 * Whether a code that we do not know may be shown. It may come from anything that answers as AWS, and ends up in logs,
 * metrics and warnings, so it has to have the form of AWS's or Node's codes, which no credential has.
 */
function isSafeToShow(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    /^(?:[A-Z][A-Za-z]{2,50}(?:Exception|Error|Fault|Failure)|E[A-Z]{3,20}|[A-Z]{2,20}(?:_[A-Z]{1,20}){1,6})$/.test(
      value,
    )
  );
}

/** IAM says who was denied; the rest of AWS's text may repeat the request, signature and session token included. */
function findPrincipal(error: unknown): string | undefined {
  const text: unknown = error instanceof Error ? error.message : '';
  if (typeof text !== 'string') {
    return undefined; // the SDK takes a `message` over from the answer as it is
  }
  return /\barn:aws[a-z-]{0,16}:(?:iam|sts)::\d{12}:[\w+=,.@/-]{1,200}/.exec(text)?.[0];
}
