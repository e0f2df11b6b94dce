// Formats the ECR double's responses in the protocols of Amazon ECR and AWS STS.
import { createHash } from 'node:crypto';
import type { Key, Service } from './aws-requests.ts';
import type { Fault } from './ecr-faults.ts';
import type { SessionOrigin } from './sts-sessions.ts';

/** An issued token. */
export interface IssuedPassword {
  readonly password: string;
  /** Base64 of `AWS:PASSWORD`. */
  readonly auth: string;
  /** The service that issued it, whose registries accept it. */
  readonly service: Service;
  readonly region: string;
  /** The identity that fetched it: its principal, its key, and for a session of a role how it was created. */
  readonly principal: string;
  readonly accessKeyId: string;
  readonly origin: SessionOrigin | undefined;
  /** In ms since the epoch by the double's clock. */
  readonly expiresAt: number;
}

/**
 * Creates a password as ECR does: base64 of a JSON object, 2.3 to 2.7 KB, always the same for a region, principal and
 * serial. It begins with the canary, so that leaks can be found.
 */
export function generatePassword(canary: string, region: string, principal: string, serial: number): string {
  const seed = `${region} ${principal} ${serial}`;
  const lengthByte = createHash('sha256').update(seed).digest()[0] ?? 0;
  const inner = {
    payload: letters(`${seed} payload`, 1470 + lengthByte),
    datakey: letters(`${seed} datakey`, 184),
    version: '2',
    type: 'DATA_KEY',
    expiration: 1_800_000_000,
  };
  return `${canary}${Buffer.from(JSON.stringify(inner)).toString('base64')}`;
}

function letters(seed: string, length: number): string {
  const blocks = Array.from({ length: Math.ceil(length / 44) }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest('base64'),
  );
  return blocks.join('').slice(0, length);
}

/** An HTTP response. */
export interface AwsResponse {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const json = 'application/x-amz-json-1.1';

/** ECR and ECR Public speak AWS JSON 1.1. */
export function ecrToken(issued: IssuedToken, proxyEndpoint: string): AwsResponse {
  const { service, auth, expiresAt } = issued;
  const data = { authorizationToken: auth, expiresAt: expiresAt / 1000 };
  return ecrResponse(service, service === 'ecr' ? { ...data, proxyEndpoint } : data);
}

type IssuedToken = Pick<IssuedPassword, 'service' | 'auth' | 'expiresAt'>;

/** ECR responds with a list, ECR Public with one object. */
function ecrResponse(service: Service, data?: object): AwsResponse {
  const list = data === undefined ? [] : [data];
  const body = JSON.stringify({ authorizationData: service === 'ecr' ? list : data });
  return { status: 200, type: json, body };
}

export function ecrError(code: string, message: string, status = 400): AwsResponse {
  return { status, type: json, body: JSON.stringify({ __type: code, message }) };
}

/** Returns the HTML page of a fault, as of a proxy that requires a login; undefined for other faults. */
export function buildUnexpectedPage(fault: Fault | undefined): AwsResponse | undefined {
  const status = { html: 200, 'forbidden-page': 403 }[String(fault)];
  return status === undefined
    ? undefined
    : { status, type: 'text/html', body: '<!doctype html><title>Sign in</title><p>Sign in<br></html>' };
}

/** Returns the invalid response of a fault; undefined for other faults. */
export function buildInvalidResponse(
  fault: Fault,
  issued: IssuedPassword,
  endpoint: string,
): AwsResponse | undefined {
  const withAuth = (auth: string) => ecrToken({ ...issued, auth }, endpoint);
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  switch (fault) {
    case 'not-json':
      return { status: 200, type: json, body: `{"authorizationData": [${issued.password}` };
    case 'not-base64':
      return withAuth(`%%${issued.password}`);
    case 'wrong-user':
      return withAuth(base64(`root:${issued.password}`));
    case 'empty-password':
      return withAuth(base64('AWS:'));
    case 'line-break':
      return withAuth(base64(`AWS:${issued.password}\nmore`));
    case 'expired':
      return ecrToken({ ...issued, expiresAt: 1_420_070_400_000 }, endpoint);
    case 'no-expiry':
      return ecrResponse(issued.service, { authorizationToken: issued.auth });
    case 'no-data':
      return ecrResponse(issued.service);
    default:
      return undefined;
  }
}

/** A session in the protocol of STS, AWS Query: the request is a form, the response is XML. */
export function stsSession(operation: string, key: Key): AwsResponse {
  const credentials = [
    ['AccessKeyId', key.accessKeyId],
    ['SecretAccessKey', key.secretAccessKey],
    ['SessionToken', key.sessionToken ?? ''],
    ['Expiration', new Date(key.expiresAt).toISOString()],
  ];
  const fields = credentials.map(([name = '', value = '']) => element(name, escapeXml(value))).join('');
  const user = element('AssumedRoleUser', element('Arn', escapeXml(key.principal)));
  return stsResult(operation, element('Credentials', fields) + user);
}

export function stsCallerIdentity({ principal, accessKeyId }: Key): AwsResponse {
  const account = principal.split(':')[4] ?? '';
  return stsResult(
    'GetCallerIdentity',
    element('Arn', escapeXml(principal)) + element('UserId', accessKeyId) + element('Account', account),
  );
}

function stsResult(operation: string, fields: string): AwsResponse {
  const result = element(`${operation}Result`, fields);
  const metadata = element('ResponseMetadata', element('RequestId', 'example'));
  return {
    status: 200,
    type: 'text/xml',
    body: `<${operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${result}${metadata}</${operation}Response>`,
  };
}

export function stsError(code: string, message: string, status = 400): AwsResponse {
  const error =
    element('Type', 'Sender') + element('Code', escapeXml(code)) + element('Message', escapeXml(message));
  return {
    status,
    type: 'text/xml',
    body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${element('Error', error)}${element('RequestId', 'example')}</ErrorResponse>`,
  };
}

function element(name: string, content: string): string {
  return `<${name}>${content}</${name}>`;
}

function escapeXml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
