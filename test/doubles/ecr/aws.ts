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
  stsError,
  stsSession,
} from './aws-responses.ts';
import type { Fault } from './ecr-faults.ts';

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
  #peak = 0;

  /** Max number of concurrent GetAuthorizationToken calls of one identity in one region. */
  get peak(): number {
    return this.#peak;
  }

  of(operation: string): Call[] {
    return this.all.filter((call) => call.operation === operation);
  }

  /** Records a call. Returns a function to call when it is complete. */
  begin(request: AwsRequest, principal: string | undefined, at: number): () => void {
    const { service, operation, region, roleArn, parameters, message, credential } = request;
    this.all.push({
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
      host: String(message.headers.host),
      userAgent: String(message.headers['user-agent']),
    });
    if (operation !== 'GetAuthorizationToken') {
      return () => {};
    }
    const key = `${service} ${principal} ${region}`;
    this.#add(key, 1);
    return () => this.#add(key, -1);
  }

  #add(key: string, change: number): void {
    const now = (this.#inFlight.get(key) ?? 0) + change;
    this.#inFlight.set(key, now);
    this.#peak = Math.max(this.#peak, now);
  }
}

/** What the trust policy of a role requires. */
export interface RoleTrust {
  readonly externalId?: string;
}

export interface AwsOptions {
  /** Text that every secret of the double contains, which must never appear in any output. */
  readonly canary: string;
  readonly tokenLifetimeMs: number;
  /** Roles by ARN that can be assumed; all by default. */
  readonly roles: Readonly<Record<string, RoleTrust>> | undefined;
  now(): number;
}

/** The part of AWS that the program calls, without HTTP: keys, tokens, sessions and denials. */
export class Aws {
  readonly keys: Keys;
  readonly issued: IssuedPassword[] = [];
  readonly #options: AwsOptions;

  constructor(options: AwsOptions) {
    this.#options = options;
    this.keys = new Keys(options.canary);
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
    return request.operation === 'AssumeRole' ? this.#assumeRole(request) : unknownOperation(request);
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
    if (!isSignedBy(key, credential, message, body)) {
      return ecr ? 'InvalidSignatureException' : 'SignatureDoesNotMatch';
    }
    if (key.expiresAt <= this.#options.now()) {
      return ecr ? 'ExpiredTokenException' : 'ExpiredToken';
    }
    return key;
  }

  #issueToken({ service, region }: AwsRequest, { principal }: Key): IssuedPassword {
    const password = generatePassword(this.#options.canary, region, principal, this.issued.length);
    const auth = Buffer.from(`AWS:${password}`).toString('base64');
    // ECR returns whole seconds; they are rounded down so that no token outlives its expiry.
    const expiresAt = Math.floor((this.#options.now() + this.#options.tokenLifetimeMs) / 1000) * 1000;
    const issued = { password, auth, service, region, principal, expiresAt };
    this.issued.push(issued);
    return issued;
  }

  #assumeRole(request: AwsRequest): AwsResponse {
    const { roles } = this.#options;
    const trust = roles === undefined ? {} : roles[request.roleArn ?? ''];
    const requiredExternalId = trust?.externalId;
    const denied =
      trust === undefined ||
      (requiredExternalId !== undefined && requiredExternalId !== request.parameters.get('ExternalId'));
    return denied
      ? stsError('AccessDenied', this.#createMessage('AccessDenied', request), 403)
      : this.#createSession(request);
  }

  #assumeWithWebIdentity(request: AwsRequest): AwsResponse {
    const token = request.parameters.get('WebIdentityToken') ?? '';
    return token.split('.').length === 3
      ? this.#createSession(request)
      : stsError('InvalidIdentityToken', this.#createMessage('InvalidIdentityToken', request));
  }

  #createSession({ operation, roleArn, parameters }: AwsRequest): AwsResponse {
    const name = parameters.get('RoleSessionName') ?? '';
    if (!/^arn:aws[a-z-]*:iam::\d{12}:role\/.+$/.test(roleArn ?? '') || !/^[\w+=,.@-]{2,64}$/.test(name)) {
      return stsError('ValidationError', 'RoleArn or RoleSessionName failed to satisfy constraint');
    }
    const { canary, now } = this.#options;
    return stsSession(operation, this.keys.createSession(roleArn ?? '', name, canary, now()));
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
