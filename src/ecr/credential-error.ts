// Which step of getting an identity's credentials failed, and how its failure is explained.
import { getField } from '../util/json.ts';
import type { UnreadableFile } from './credential-files.ts';
import type { Cause } from './error-catalog.ts';
import type { Identity } from './identity.ts';
import { classifyError, TokenError } from './token-error.ts';

/** The steps of getting credentials. */
export type CredentialStep =
  /** The process's own credentials, or those of a profile. */
  | 'base'
  /** The token of a ServiceAccount, from the API server. */
  | 'service-account'
  /** Before the call of STS: the expanded session policy is longer than STS accepts. */
  | 'session-policy'
  /** AssumeRole or AssumeRoleWithWebIdentity. */
  | 'role';

/**
 * A step failed. The original error is private, because errors of the SDK contain whole requests and responses. Callers explain
 * it with {@link classifyCredentialError} and never log it.
 */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
  readonly step: CredentialStep;
  /** A file that may be the cause. */
  readonly file: UnreadableFile | undefined;
  readonly #original: unknown;

  constructor(step: CredentialStep, original: unknown, file?: UnreadableFile) {
    super(`failed to get credentials: ${step}`);
    this.step = step;
    this.file = file;
    this.#original = original;
  }

  getOriginal(): unknown {
    return this.#original;
  }
}

/** Runs a step, and marks its errors. An error that an inner step has marked is passed on. */
export async function runCredentialStep<T>(step: CredentialStep, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof CredentialError ? error : new CredentialError(step, error);
  }
}

/** Classifies anything that was thrown while an identity's credentials were being obtained or used. */
export function classifyCredentialError(error: unknown, identity: Identity, region: string): TokenError {
  if (!(error instanceof CredentialError)) {
    return classifyError(error, region, identity.rule);
  }
  const original = error.getOriginal();
  if (error.step === 'service-account') {
    return createServiceAccountError(original, identity, region);
  }
  if (error.step === 'session-policy') {
    const description = `the session policy of ${identity.rule} is too long after its placeholders are expanded`;
    return new TokenError({ code: 'session-policy-too-long', region, description });
  }
  const failure = classifyError(original, region, identity.rule);
  return error.step === 'base'
    ? explainFile(explainProfile(failure, identity), error.file)
    : explainRole(failure, identity);
}

/** Names the file that cannot be read. The SDK says only that a provider failed, or goes on to the next one. */
function explainFile(failure: TokenError, file: UnreadableFile | undefined): TokenError {
  if (file === undefined || failure.code !== 'no-credentials') {
    return failure;
  }
  const { variable, path, code } = file;
  return failure.explain(
    `${failure.description}, because the file ${path} of ${variable} cannot be read (${code})`,
    `Check that the file is mounted and readable, or correct ${variable}`,
  );
}

/** Codes of the API server that last until the operator or the tenant changes something. */
const permanentApiCodes: readonly string[] = ['forbidden', 'invalid', 'not-found', 'unauthorized'];

function createServiceAccountError(original: unknown, identity: Identity, region: string): TokenError {
  const { namespace, serviceAccount } = identity.webIdentity ?? {};
  const code = getField(original, 'code');
  const detail = typeof code === 'string' && /^[a-z-]{1,30}$/.test(code) ? code : 'unknown';
  const advice =
    detail === 'not-found'
      ? 'Create the ServiceAccount, or correct webIdentity.serviceAccount of the rule'
      : 'Check that the program may create serviceaccounts/token with this name, and the health of the API server';
  return new TokenError({
    code: 'service-account-token',
    region,
    detail,
    description: `the API server issued no token for ServiceAccount ${namespace}/${serviceAccount} of ${identity.rule} (${detail})`,
    cause: { permanent: permanentApiCodes.includes(detail), summary: 'no ServiceAccount token', advice },
  });
}

/** Adds the profile to a failure. The SDK says only that a provider failed. */
function explainProfile(failure: TokenError, { profile, rule }: Identity): TokenError {
  return profile === undefined || failure.code !== 'no-credentials'
    ? failure
    : failure.explain(
        `no AWS credentials in profile ${profile} of ${rule}`,
        'Add the profile to the files that AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name; they must be readable',
      );
}

/** Advice for failures of AssumeRole and AssumeRoleWithWebIdentity, by code. */
function adviseOnRole(code: string, { role, webIdentity }: Identity): Cause['advice'] | undefined {
  if (isDenied(code)) {
    if (webIdentity !== undefined) {
      const { namespace, serviceAccount, audience } = webIdentity;
      return (
        "The role must exist, and its trust policy must allow sts:AssumeRoleWithWebIdentity for the cluster's OIDC provider " +
        `with sub system:serviceaccount:${namespace}:${serviceAccount} and aud ${audience}`
      );
    }
    const tagging = Object.keys(role?.sessionTags ?? {}).length === 0 ? '' : ' and sts:TagSession';
    return (
      `The role must exist, and its trust policy must allow sts:AssumeRole${tagging} for the base credentials, with the same ` +
      'external ID if it requires one; their own policy must allow it too'
    );
  }
  if (/^(?:InvalidIdentityToken|IDPRejectedClaim)/.test(code) && webIdentity !== undefined) {
    return `Check that IAM has an OIDC provider for the issuer of the cluster, with audience ${webIdentity.audience}`;
  }
  return undefined;
}

function isDenied(code: string): boolean {
  return code === 'AccessDenied' || code === 'AccessDeniedException';
}

/** What to do about a response at the endpoint of AWS STS that is none of AWS STS. */
export const adviceOnStsResponse = 'Check which server responds at the STS endpoint, and the system clock';

/** Adds the role and its rule to a failure of STS, and what to change. */
function explainRole(failure: TokenError, identity: Identity): TokenError {
  const { role, rule, webIdentity } = identity;
  if (role !== undefined && failure.code === 'invalid-response') {
    return failure.explain(
      `the response of AWS STS for ${role.roleArn} of ${rule} is invalid`,
      adviceOnStsResponse,
    );
  }
  if (role === undefined || !/^[A-Z]\w+$/.test(failure.code)) {
    return failure; // network, throttling and the like say nothing about the role
  }
  const description = `AWS STS returned ${failure.code} for ${role.roleArn} of ${rule}`;
  const code = isDenied(failure.code) && webIdentity !== undefined ? 'web-identity-denied' : failure.code;
  return failure.explain(description, adviseOnRole(failure.code, identity), code);
}
