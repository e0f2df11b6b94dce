// What STS verifies before it creates a session of a role, and what a session remembers of its origin.
import { createPublicKey, type JsonWebKey, verify } from 'node:crypto';
import { getField, parseJsonOrUndefined } from '../../../src/util/json.ts';

/** What the trust policy of a role requires. */
export interface RoleTrust {
  readonly externalId?: string;
  /** Access keys that may assume the role; all by default. */
  readonly accessKeyIds?: readonly string[];
  /** The session tags that each session must have; others are denied, as without `sts:TagSession`. Any by default. */
  readonly sessionTags?: Readonly<Record<string, string>>;
  /** The session policy that each session must have, as JSON text. Any by default. */
  readonly sessionPolicy?: string;
  /** Web identities that may assume the role. If set, AssumeRole is denied; if not, AssumeRoleWithWebIdentity is. */
  readonly webIdentity?: WebIdentityTrust;
}

interface WebIdentityTrust {
  readonly issuer: string;
  /** `system:serviceaccount:NAMESPACE:NAME`. */
  readonly subject: string;
  readonly audience: string;
}

/** An OIDC provider of IAM. */
export interface OidcProvider {
  readonly audiences: readonly string[];
  /** The keys of the issuer, as its `jwks_uri` returns them. */
  readonly keys: readonly JsonWebKey[];
}

/** Who a session or key belongs to, and what it was restricted to. */
export interface SessionOrigin {
  readonly roleArn: string;
  readonly sessionName: string;
  /** The key that assumed the role; undefined: a web identity did. */
  readonly assumedBy: string | undefined;
  /** Subject of the web identity token. */
  readonly subject: string | undefined;
  readonly externalId: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly policy: string | undefined;
}

/** The parameters of AssumeRole and AssumeRoleWithWebIdentity that describe the session. */
export function readSessionOrigin(
  parameters: URLSearchParams,
  assumedBy: string | undefined,
  subject?: string,
): SessionOrigin {
  return {
    roleArn: parameters.get('RoleArn') ?? '',
    sessionName: parameters.get('RoleSessionName') ?? '',
    assumedBy,
    subject,
    externalId: parameters.get('ExternalId') ?? undefined,
    tags: readTags(parameters),
    policy: parameters.get('Policy') ?? undefined,
  };
}

/** The session tags of a request: `Tags.member.N.Key` and `.Value`. */
export function readTags(parameters: URLSearchParams): Record<string, string> {
  const tags: Record<string, string> = {};
  for (let index = 1; parameters.has(`Tags.member.${index}.Key`); index += 1) {
    tags[parameters.get(`Tags.member.${index}.Key`) ?? ''] =
      parameters.get(`Tags.member.${index}.Value`) ?? '';
  }
  return tags;
}

/** The code of AWS's error for parameters that STS refuses for every role; undefined: none. */
export function findInvalidParameter({
  roleArn,
  sessionName,
  tags,
  policy,
}: SessionOrigin): string | undefined {
  const tagEntries = Object.entries(tags);
  const isValid =
    /^arn:aws[a-z-]*:iam::\d{12}:role\/(?:[\w+=,.@-]+\/)*[\w+=,.@-]{1,64}$/.test(roleArn) &&
    /^[\w+=,.@-]{2,64}$/.test(sessionName) &&
    tagEntries.length <= 50 &&
    tagEntries.every(([key, value]) => isTagText(key, 128) && key !== '' && isTagText(value, 256)) &&
    (policy?.length ?? 1) <= 2048;
  if (!isValid) {
    return 'ValidationError';
  }
  return policy !== undefined && parseJsonOrUndefined(policy) === undefined
    ? 'MalformedPolicyDocument'
    : undefined;
}

function isTagText(text: string, maxLength: number): boolean {
  return text.length <= maxLength && /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u.test(text);
}

/** Whether a role's trust allows a session. */
export function allowsSession(trust: RoleTrust, origin: SessionOrigin): boolean {
  const { externalId, accessKeyIds, sessionTags, sessionPolicy } = trust;
  const isEqual = (wanted: unknown, given: unknown) =>
    wanted === undefined || JSON.stringify(sortKeys(wanted)) === JSON.stringify(sortKeys(given));
  return (
    isEqual(externalId, origin.externalId) &&
    isEqual(sessionPolicy, origin.policy) &&
    isEqual(sessionTags, origin.tags) &&
    (accessKeyIds === undefined || accessKeyIds.includes(origin.assumedBy ?? ''))
  );
}

function sortKeys(value: unknown): unknown {
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;
}

/** The claims of a verified web identity token. */
export interface VerifiedToken {
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
}

/**
 * Verifies a token as STS does: a provider of its issuer, its signature, its audience and its expiry.
 * @returns its claims, or the code of AWS's error
 * @param now the double's clock in ms
 */
export function verifyToken(
  token: string,
  providers: Readonly<Record<string, OidcProvider>>,
  now: number,
): VerifiedToken | string {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const claims = parsePart(payload);
  const issuer = getField(claims, 'iss');
  const provider = typeof issuer === 'string' ? providers[issuer] : undefined;
  if (typeof issuer !== 'string' || provider === undefined) {
    return 'InvalidIdentityToken';
  }
  const isSigned = provider.keys.some((key) => {
    const isNamed = key['kid'] === getField(parsePart(header), 'kid');
    const publicKey = createPublicKey({ key, format: 'jwk' });
    return (
      isNamed &&
      verify('sha256', Buffer.from(`${header}.${payload}`), publicKey, Buffer.from(signature, 'base64url'))
    );
  });
  const audiences = [getField(claims, 'aud')].flat();
  const audience = audiences.find((one) => typeof one === 'string' && provider.audiences.includes(one));
  if (!isSigned || typeof audience !== 'string') {
    return 'InvalidIdentityToken';
  }
  if (Number(getField(claims, 'exp')) * 1000 <= now) {
    return 'ExpiredTokenException';
  }
  return { issuer, subject: String(getField(claims, 'sub')), audience };
}

/** Whether a role's trust allows a web identity. */
export function allowsToken({ webIdentity }: RoleTrust, token: VerifiedToken): boolean {
  return (
    webIdentity !== undefined &&
    webIdentity.issuer === token.issuer &&
    webIdentity.subject === token.subject &&
    webIdentity.audience === token.audience
  );
}

function parsePart(part: string): unknown {
  return parseJsonOrUndefined(Buffer.from(part, 'base64url').toString());
}
