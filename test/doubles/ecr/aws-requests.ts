// Parses requests of the AWS SDK and verifies their signatures, for the ECR double.
import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { RequestScope } from './ecr-faults.ts';
import type { SessionOrigin } from './sts-sessions.ts';

/** A parsed request of the SDK. */
export interface AwsRequest extends RequestScope {
  readonly service: Service;
  readonly credential: Credential | undefined;
  /** The parameters of an STS operation. */
  readonly parameters: URLSearchParams;
  readonly body: Buffer;
  readonly message: IncomingMessage;
}

/** The services of AWS that the double speaks for, by the names in signatures. */
export type Service = 'ecr' | 'ecr-public' | 'sts';

/** The targets of AWS JSON 1.1, before the operation. */
const targets = {
  ecr: 'AmazonEC2ContainerRegistry_V20150921.',
  'ecr-public': 'SpencerFrontendService.',
} as const;

/** Reads a whole request, and determines its service and operation. */
export async function readRequest(message: IncomingMessage): Promise<AwsRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) {
    chunks.push(Buffer.from(chunk));
  }
  const body = Buffer.concat(chunks);
  const target = String(message.headers['x-amz-target'] ?? '');
  const credential = readCredential(message.headers.authorization);
  const region = credential?.region ?? '';
  const common = { credential, region, body, message };
  for (const service of ['ecr', 'ecr-public'] as const) {
    const prefix = targets[service];
    if (target.startsWith(prefix)) {
      const operation = target.slice(prefix.length);
      return { ...common, service, operation, roleArn: undefined, parameters: new URLSearchParams() };
    }
  }
  const parameters = new URLSearchParams(body.toString('utf8'));
  const operation = parameters.get('Action') ?? '';
  return {
    ...common,
    service: 'sts',
    operation,
    roleArn: parameters.get('RoleArn') ?? undefined,
    parameters,
  };
}

/** The content of the `Authorization` header of a signed request. */
export interface Credential {
  readonly accessKeyId: string;
  readonly region: string;
  readonly service: string;
  readonly scope: string;
  readonly signedHeaders: string;
  readonly signature: string;
}

const pattern =
  /^AWS4-HMAC-SHA256 Credential=(?<accessKeyId>\w+)\/(?<scope>\d{8}\/(?<region>[\w-]+)\/(?<service>[\w-]+)\/aws4_request), SignedHeaders=(?<signedHeaders>[\w;-]+), Signature=(?<signature>[0-9a-f]{64})$/;

/** Parses the header of AWS Signature Version 4. Returns undefined if it is not one. */
function readCredential(authorization: string | undefined): Credential | undefined {
  const groups = pattern.exec(authorization ?? '')?.groups;
  if (groups === undefined) {
    return undefined;
  }
  const {
    accessKeyId = '',
    region = '',
    service = '',
    scope = '',
    signedHeaders = '',
    signature = '',
  } = groups;
  return { accessKeyId, region, service, scope, signedHeaders, signature };
}

/**
 * Whether a POST was signed with the key, over its body, host and session token.
 * Source: "Create a signed AWS API request", IAM user guide. The date is not compared with a clock.
 */
export function isSignedBy(
  key: Key,
  credential: Credential,
  request: IncomingMessage,
  body: Buffer,
): boolean {
  const { signedHeaders, scope, region, service } = credential;
  const names = signedHeaders.split(';');
  const mustBeSigned = key.sessionToken === undefined ? ['host'] : ['host', 'x-amz-security-token'];
  if (!mustBeSigned.every((name) => names.includes(name))) {
    return false;
  }
  if (key.sessionToken !== undefined && request.headers['x-amz-security-token'] !== key.sessionToken) {
    return false;
  }
  const date = String(request.headers['x-amz-date']);
  const headers = names.map((name) => `${name}:${String(request.headers[name]).trim()}\n`).join('');
  const canonical = ['POST', '/', '', headers, signedHeaders, sha256(body)].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n');
  const parts = [date.slice(0, 8), region, service, 'aws4_request'];
  const signingKey = parts.reduce<string | Buffer>(hmac, `AWS4${key.secretAccessKey}`);
  return hmac(signingKey, toSign).toString('hex') === credential.signature;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** An access key that the double accepts. */
export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Principal: the ARN of a user or an assumed role. */
  readonly principal: string;
  /** In ms since the epoch by the double's clock. */
  readonly expiresAt: number;
  /** How the session of a role was created; undefined: the key of a user. */
  readonly origin?: SessionOrigin;
}

/** All valid access keys: the initial one, those of other users, and those that STS issued. */
export class Keys {
  readonly #byId = new Map<string, Key>();
  readonly root: Key;

  constructor(canary: string) {
    this.root = {
      accessKeyId: 'AKIAEXAMPLE000000000',
      secretAccessKey: `${canary}-secret-access-key`,
      principal: 'arn:aws:iam::123456789012:user/example',
      expiresAt: Number.POSITIVE_INFINITY,
    };
    this.#byId.set(this.root.accessKeyId, this.root);
  }

  /** Creates the access key of another user. */
  user(principal: string, canary: string): Key {
    const number = String(this.#byId.size).padStart(9, '0');
    const key: Key = {
      accessKeyId: `AKIAEXAMPLE${number}`,
      secretAccessKey: `${canary}-user-secret-${number}`,
      principal,
      expiresAt: Number.POSITIVE_INFINITY,
    };
    this.#byId.set(key.accessKeyId, key);
    return key;
  }

  /** Creates a session of a role, as AssumeRole does. */
  createSession(origin: SessionOrigin, canary: string, expiresAt: number): Key {
    const { roleArn, sessionName } = origin;
    const number = String(this.#byId.size).padStart(9, '0');
    const key: Key = {
      accessKeyId: `ASIAEXAMPLE${number}`,
      secretAccessKey: `${canary}-session-secret-${number}`,
      sessionToken: `${canary}-session-token-${createHash('sha256').update(number).digest('base64url')}`,
      principal: `${roleArn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/${sessionName}`,
      expiresAt,
      origin,
    };
    this.#byId.set(key.accessKeyId, key);
    return key;
  }

  find(accessKeyId: string): Key | undefined {
    return this.#byId.get(accessKeyId);
  }

  all(): Key[] {
    return [...this.#byId.values()];
  }
}
