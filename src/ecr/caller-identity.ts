// Reads which AWS principal this process is (sts:GetCallerIdentity), and which provider its credentials are from.
import { withTimeout } from '../util/timeout.ts';
import { findRegion } from './aws-region.ts';
import type { Environment } from './aws-settings.ts';
import { adviceOnStsResponse, CredentialError, classifyCredentialError } from './credential-error.ts';
import { type CredentialProviderName, nameCredentialProvider } from './credential-provider.ts';
import { type CredentialSource, createCredentialSource, type RequestToken } from './credentials.ts';
import {
  type CallTimeouts,
  createSharedHttpHandler,
  getTotalMs,
  type SharedHttpHandler,
} from './http-handler.ts';
import { defaultIdentity, type Identity } from './identity.ts';
import { getPartition, resolveStsRegion } from './partitions.ts';
import { createStsClient, loadSts, type StsClientOptions } from './sts-client.ts';
import { TokenError } from './token-error.ts';

/** An AWS principal, as AWS STS names it. */
export interface CallerIdentity {
  readonly arn: string;
  /** 12 digits. */
  readonly account: string;
  /** Where the credentials came from, or those that assumed the role. */
  readonly provider: CredentialProviderName;
}

export interface CallerIdentityOptions {
  readonly timeouts: CallTimeouts;
  /** Whose credentials are used; those of the process by default. */
  readonly identity?: Identity;
  /** For an identity with a web identity; by default, it gets no token. */
  readonly requestToken?: RequestToken;
  /** A region of the partition in use, such as that of a registry, if the environment does not name one. */
  readonly fallbackRegion?: string | undefined;
  /** Aborts the call, so that it does not keep the process alive. */
  readonly signal?: AbortSignal;
}

/**
 * Calls GetCallerIdentity, with new connections and without cached credentials. The principal needs no permission for it.
 * @param environment for proxies, CA and the role; the SDK reads its own variables from `process.env`
 * @throws {TokenError} with the codes of the error catalog, about the AWS identity instead of a token
 * @throws {ConfigError} for environment variables that cannot be used
 */
export async function readCallerIdentity(
  environment: Environment,
  options: CallerIdentityOptions,
): Promise<CallerIdentity> {
  const { timeouts, identity = defaultIdentity } = options;
  const totalMs = getTotalMs(timeouts);
  const http = createSharedHttpHandler(timeouts, environment);
  const closeConnections = () => http.close();
  options.signal?.addEventListener('abort', closeConnections, { once: true });
  let region = '';
  try {
    const credentials = createCredentialSource({
      http,
      environment,
      timeoutMs: totalMs / 2,
      maxRoles: 1,
      requestToken: options.requestToken,
      now: Date.now,
    });
    region = await findStsRegion(environment, identity, http, options.fallbackRegion);
    const getCredentials = credentials.getProvider(identity);
    // first, and with their own timeout, so that slow credentials are not reported as a slow endpoint
    await getCredentials();
    const provider = await findProvider(credentials, identity, environment);
    const principal = await withTimeout(totalMs, 'TimeoutError', (timeout) =>
      callSts(
        { credentials: getCredentials, http, region, profile: identity.profile },
        AbortSignal.any([timeout, ...(options.signal === undefined ? [] : [options.signal])]),
      ),
    );
    return { ...principal, provider };
  } catch (error) {
    throw explainFailure(error, identity, region);
  } finally {
    options.signal?.removeEventListener('abort', closeConnections);
    http.close();
  }
}

/** The region whose STS is called: that of the environment, or the home region of the partition. */
async function findStsRegion(
  environment: Environment,
  { role, profile }: Identity,
  http: SharedHttpHandler,
  fallbackRegion: string | undefined,
): Promise<string> {
  const configuredRegion = await findRegion(http, profile);
  const roleArn =
    role?.roleArn ?? (profile === undefined ? environment['AWS_ROLE_ARN'] || undefined : undefined);
  return roleArn === undefined && configuredRegion === undefined && fallbackRegion !== undefined
    ? getPartition(fallbackRegion).stsHomeRegion
    : resolveStsRegion(roleArn, configuredRegion);
}

/** Names the provider of the base credentials. Those of an identity with a web identity come from a ServiceAccount's token. */
async function findProvider(
  credentials: CredentialSource,
  { webIdentity, profile, rule }: Identity,
  environment: Environment,
): Promise<CredentialProviderName> {
  if (webIdentity !== undefined) {
    return 'web-identity';
  }
  return nameCredentialProvider(
    await credentials.getProvider({ ...defaultIdentity, profile, rule })(),
    environment,
  );
}

async function callSts(
  options: StsClientOptions,
  abortSignal: AbortSignal,
): Promise<Pick<CallerIdentity, 'arn' | 'account'>> {
  const { GetCallerIdentityCommand } = await loadSts();
  const client = await createStsClient(options);
  const { Arn: arn = '', Account: account = '' } = await client.send(new GetCallerIdentityCommand({}), {
    abortSignal,
  });
  // any server may have answered
  if (
    !/^arn:aws[a-z-]{0,20}:(?:iam|sts)::\d{12}:[\x21-\x7e]{1,700}$/.test(arn) ||
    !/^\d{12}$/.test(account)
  ) {
    throw new TokenError({ code: 'invalid-response', region: options.region });
  }
  return { arn, account };
}

/** The call itself is not one for a token, and needs no permission. */
function explainFailure(error: unknown, identity: Identity, region: string): TokenError {
  const failure = classifyCredentialError(error, identity, region).about('AWS identity');
  if (error instanceof CredentialError) {
    return failure;
  }
  if (failure.code === 'AccessDenied') {
    return new TokenError({ code: 'caller-identity-denied', region }).about('AWS identity');
  }
  return failure.code === 'invalid-response' ? failure.withAdvice(adviceOnStsResponse) : failure;
}
