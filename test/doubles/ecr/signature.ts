import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Key } from './keys.ts';

/** What the `Authorization` header of a signed request says. */
export interface Credential {
  readonly accessKeyId: string;
  readonly region: string;
  readonly service: string;
  readonly scope: string;
  readonly signedHeaders: string;
  readonly signature: string;
}

const pattern =
  /^AWS4-HMAC-SHA256 Credential=(?<accessKeyId>\w+)\/(?<scope>\d{8}\/(?<region>[\w-]+)\/(?<service>\w+)\/aws4_request), SignedHeaders=(?<signedHeaders>[\w;-]+), Signature=(?<signature>[0-9a-f]{64})$/;

/** Reads the header of AWS Signature Version 4; undefined if it is not one. */
export function readCredential(authorization: string | undefined): Credential | undefined {
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
 * Source: "Create a signed AWS API request", IAM user guide. Its date is not compared with any clock.
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
