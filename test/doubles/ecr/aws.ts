// The operations of Amazon ECR, ECR Public and AWS STS that the program calls, with the tokens and sessions that they issue.
import { type AwsRequest, isSignedBy, type Key, Keys, type Service } from './aws-requests.ts';
import {
  type AwsResponse,
  buildInvalidResponse,
  buildUnexpectedPage,
  ecrError,
  ecrToken,
  generatePassword,
  type IssuedPassword,
  stsCallerIdentity,
  stsError,
  stsSession,
} from './aws-responses.ts';
import type { Fault } from './ecr-faults.ts';
import {
  allowsSession,
  allowsToken,
  findInvalidParameter,
  type OidcProvider,
  type RoleTrust,
  readSessionOrigin,
  readTags,
  type SessionOrigin,
  verifyToken,
} from './sts-sessions.ts';

/** A call that the double received. */
export interface Call {
  readonly service: Service;
  readonly operation: string;
  /** From the signature's scope; empty if the request was not signed. */
  readonly region: string;
  readonly accessKeyId: string | undefined;
  /** Principal of the key, if the double knows the key. */
  readonly principal: string | undefined;
  readonly roleArn: string | undefined;
  readonly externalId: string | undefined;
  readonly sessionName: string | undefined;
  readonly policy: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  /** For a session of a role: how it was created, so that a call names the identity that made it. */
  readonly origin: SessionOrigin | undefined;
  /** The `Host` header. */
  readonly host: string;
  readonly userAgent: string;
  /** In ms since the epoch by the double's clock. */
  readonly at: number;
}

/** Counts calls, and how many of an identity and region were in flight at once. */
export class Calls {
  readonly all: Call[] = [];
  readonly #inFlight = new Map<string, number>();
  readonly #onCall: ((call: Call) => void) | undefined;
  #peak = 0;

  constructor(onCall?: (call: Call) => void) {
    this.#onCall = onCall;
  }

  /** Max number of concurrent GetAuthorizationToken calls of one identity in one region. */
  get peak(): number {
    return this.#peak;
  }

  of(operation: string): Call[] {
    return this.all.filter((call) => call.operation === operation);
  }

  /** Records a call. Returns a function to call when it is complete. */
  begin(request: AwsRequest, key: Pick<Key, 'principal' | 'origin'> | undefined, at: number): () => void {
    const principal = key?.principal;
    const { service, operation, region, roleArn, parameters, message, credential } = request;
    const call: Call = {
      service,
      operation,
      region,
      roleArn,
      principal,
      at,
      accessKeyId: credential?.accessKeyId,
      externalId: parameters.get('ExternalId') ?? undefined,
      sessionName: parameters.get('RoleSessionName') ?? undefined,
      policy: parameters.get('Policy') ?? undefined,
      tags: readTags(parameters),
      origin: key?.origin,
      host: String(message.headers.host),
      userAgent: String(message.headers['user-agent']),
    };
    this.all.push(call);
    this.#onCall?.(call);
    if (operation !== 'GetAuthorizationToken') {
      return () => {};
    }
    const caller = `${service} ${principal} ${region}`;
    this.#add(caller, 1);
    return () => this.#add(caller, -1);
  }

  #add(key: string, change: number): void {
    const now = (this.#inFlight.get(key) ?? 0) + change;
    this.#inFlight.set(key, now);
    this.#peak = Math.max(this.#peak, now);
  }
}

export interface AwsOptions {
  /** Text that every secret of the double contains, which must never appear in any output. */
  readonly canary: string;
  readonly tokenLifetimeMs: number;
  readonly sessionLifetimeMs: number;
  /** Roles by ARN that can be assumed; all by default. */
  readonly roles: Readonly<Record<string, RoleTrust>> | undefined;
  /** OIDC providers by issuer; by default, every text with the form of a token is accepted for every role. */
  readonly oidcProviders: Readonly<Record<string, OidcProvider>> | undefined;
  /** Whether requests that were signed too early or too late are refused. */
  readonly verifiesDates: boolean;
  now(): number;
}

/** How far the date of a signature may differ from the clock of AWS, in ms ("Signature expired" in the IAM user guide). */
const maxSignatureAgeMs = 15 * 60_000;

/** The part of AWS that the program calls, without HTTP: keys, tokens, sessions and denials. */
export class Aws {
  readonly keys: Keys;
  readonly issued: IssuedPassword[] = [];
  readonly #issuedBySecret = new Map<string, IssuedPassword>();
  readonly #options: AwsOptions;

  constructor(options: AwsOptions) {
    this.#options = options;
    this.keys = new Keys(options.canary);
  }

  /** The token with a password or `auth`. */
  findIssued(secret: string): IssuedPassword | undefined {
    return this.#issuedBySecret.get(secret);
  }

  /** Creates a session of a role without a request. */
  createSession(roleArn: string, expiresAt: number): Key {
    const origin = readSessionOrigin(
      new URLSearchParams({ RoleArn: roleArn, RoleSessionName: 'node' }),
      undefined,
    );
    return this.keys.createSession(origin, this.#options.canary, expiresAt);
  }

  respond(request: AwsRequest, fault: Fault | undefined, endpoint: string): AwsResponse {
    const page = buildUnexpectedPage(fault);
    if (page !== undefined) {
      return page;
    }
    const error = request.service === 'sts' ? stsError : ecrError;
    if (typeof fault === 'object') {
      return error(fault.error, this.#createMessage(fault.error, request), fault.status);
    }
    if (request.operation === 'AssumeRoleWithWebIdentity') {
      return this.#assumeWithWebIdentity(request);
    }
    const key = this.#findSigningKey(request);
    if (typeof key === 'string') {
      return error(key, this.#createMessage(key, request), request.service === 'sts' ? 403 : 400);
    }
    if (request.operation === 'GetAuthorizationToken') {
      const issued = this.#issueToken(request, key);
      return (fault && buildInvalidResponse(fault, issued, endpoint)) ?? ecrToken(issued, endpoint);
    }
    if (request.operation === 'GetCallerIdentity') {
      return stsCallerIdentity(key);
    }
    return request.operation === 'AssumeRole' ? this.#assumeRole(request, key) : unknownOperation(request);
  }

  /** Returns the key that a request was signed with, or the code of AWS's error. */
  #findSigningKey({ service, credential, message, body }: AwsRequest): Key | string {
    const ecr = service !== 'sts';
    if (credential === undefined || credential.service !== service) {
      return ecr ? 'MissingAuthenticationTokenException' : 'MissingAuthenticationToken';
    }
    const key = this.keys.find(credential.accessKeyId);
    if (key === undefined) {
      return ecr ? 'UnrecognizedClientException' : 'InvalidClientTokenId';
    }
    if (!isSignedBy(key, credential, message, body) || this.#isDateRefused(message)) {
      return ecr ? 'InvalidSignatureException' : 'SignatureDoesNotMatch';
    }
    if (key.expiresAt <= this.#options.now()) {
      return ecr ? 'ExpiredTokenException' : 'ExpiredToken';
    }
    return key;
  }

  #isDateRefused({ headers }: AwsRequest['message']): boolean {
    const date = String(headers['x-amz-date']).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5');
    const { verifiesDates, now } = this.#options;
    return verifiesDates && Math.abs(Date.parse(date) - now()) > maxSignatureAgeMs;
  }

  #issueToken({ service, region }: AwsRequest, { principal, accessKeyId, origin }: Key): IssuedPassword {
    const password = generatePassword(this.#options.canary, region, principal, this.issued.length);
    const auth = Buffer.from(`AWS:${password}`).toString('base64');
    // ECR returns whole seconds; they are rounded down so that no token outlives its expiry.
    const expiresAt = Math.floor((this.#options.now() + this.#options.tokenLifetimeMs) / 1000) * 1000;
    const issued = { password, auth, service, region, principal, accessKeyId, origin, expiresAt };
    this.issued.push(issued);
    this.#issuedBySecret.set(password, issued).set(auth, issued);
    return issued;
  }

  #assumeRole(request: AwsRequest, { accessKeyId }: Key): AwsResponse {
    const origin = readSessionOrigin(request.parameters, accessKeyId);
    const trust = this.#trustOf(origin.roleArn);
    const isAllowed = trust !== undefined && trust.webIdentity === undefined && allowsSession(trust, origin);
    return isAllowed ? this.#createSession(request, origin) : this.#refuse('AccessDenied', request);
  }

  #assumeWithWebIdentity(request: AwsRequest): AwsResponse {
    const token = request.parameters.get('WebIdentityToken') ?? '';
    const { oidcProviders, now } = this.#options;
    if (oidcProviders === undefined) {
      return token.split('.').length === 3
        ? this.#createSession(request, readSessionOrigin(request.parameters, undefined))
        : this.#refuse('InvalidIdentityToken', request);
    }
    const verified = verifyToken(token, oidcProviders, now());
    if (typeof verified === 'string') {
      return this.#refuse(verified, request);
    }
    const origin = readSessionOrigin(request.parameters, undefined, verified.subject);
    const trust = this.#trustOf(origin.roleArn);
    const isAllowed = trust !== undefined && allowsToken(trust, verified) && allowsSession(trust, origin);
    return isAllowed ? this.#createSession(request, origin) : this.#refuse('AccessDenied', request);
  }

  #trustOf(roleArn: string): RoleTrust | undefined {
    const { roles } = this.#options;
    return roles === undefined ? {} : roles[roleArn];
  }

  #createSession({ operation }: AwsRequest, origin: SessionOrigin): AwsResponse {
    const invalid = findInvalidParameter(origin);
    const { canary, now, sessionLifetimeMs } = this.#options;
    return invalid === undefined
      ? stsSession(operation, this.keys.createSession(origin, canary, now() + sessionLifetimeMs))
      : stsError(invalid, 'a parameter failed to satisfy its constraint');
  }

  #refuse(code: string, request: AwsRequest): AwsResponse {
    return stsError(code, this.#createMessage(code, request), code === 'AccessDenied' ? 403 : 400);
  }

  /** Messages of AWS contain the caller, and for wrong signatures the request with its session token. */
  #createMessage(code: string, { credential, operation, message }: AwsRequest): string {
    const principal = this.keys.find(credential?.accessKeyId ?? '')?.principal ?? 'unknown';
    const token = String(message.headers['x-amz-security-token'] ?? this.#options.canary);
    return `${code}: User: ${principal} is not authorized to perform: ${operation}; the request was ${token}`;
  }
}

function unknownOperation({ service, operation }: AwsRequest): AwsResponse {
  return service !== 'sts'
    ? ecrError('UnknownOperationException', `Unknown operation ${operation}`)
    : stsError('InvalidAction', `Could not find operation ${operation}`);
}
