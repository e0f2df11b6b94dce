// Provides the AWS credentials of every identity: base credentials, and roles assumed with them or with a web identity.
import { fromIni, fromNodeProviderChain } from '@aws-sdk/credential-providers';
import { LRUCache } from 'lru-cache';
import { withTimeout } from '../util/timeout.ts';
import { RegionCache } from './aws-region.ts';
import type { Environment } from './aws-settings.ts';
import { CredentialError, runCredentialStep } from './credential-error.ts';
import { findUnreadableFile } from './credential-files.ts';
import type { SharedHttpHandler } from './http-handler.ts';
import type { Identity, Role } from './identity.ts';
import { resolveStsRegion } from './partitions.ts';
import { RoleSessions } from './role-sessions.ts';
import type { CredentialProvider, Credentials } from './sts-client.ts';

/**
 * Returns a token of a ServiceAccount for an audience (TokenRequest). Rejects with an error whose `code` is that of a failed call
 * to the API server.
 */
export type RequestToken = (namespace: string, serviceAccount: string, audience: string) => Promise<string>;

/** How long before they expire credentials are refreshed, in ms, as in the SDK (`credentialsTreatedAsExpired`). */
const refreshBeforeExpiryMs = 300_000;

/** Max length of a session policy in characters (AWS STS API reference, AssumeRole). */
const maxSessionPolicyLength = 2048;

export interface CredentialsOptions {
  readonly http: SharedHttpHandler;
  readonly environment: Environment;
  /** How long getting credentials may take, in ms: from STS, the node's metadata, a process or the API server. */
  readonly timeoutMs: number;
  /**
   * Max roles whose sessions are cached, twice: of the rules, and of identities of which users can cause any number. These need
   * their session only until all regions of the namespace have a token.
   */
  readonly maxRoles: number;
  /** For identities with a web identity; by default, they get no token. */
  readonly requestToken?: RequestToken | undefined;
  /** The wall clock in ms. */
  readonly now: () => number;
}

export interface CredentialSource {
  /**
   * Returns the provider of an identity's credentials, which are cached until shortly before they expire. The provider
   * rejects with a CredentialError.
   */
  getProvider(identity: Identity): CredentialProvider;
  /**
   * Discards the cached credentials of an identity, its base credentials, and all that were derived from these. Files and
   * environment may have changed, and the SDK's chain would wait forever for a resolution that hangs. Of a web identity, only
   * its own are discarded, because no other depends on them.
   */
  reset(identity: Identity): void;
}

interface RoleEntry {
  readonly provider: CredentialProvider;
  /** Whether the base credentials of a profile (undefined: the process's own) assumed the role. Those of a web identity do not. */
  isDerivedFrom(profile: string | undefined): boolean;
}

/**
 * The SDK's providers get their HTTP handler and STS region here. Otherwise they would take both from the client that
 * happens to call them first, and its region comes from an image name.
 */
export function createCredentialSource(options: CredentialsOptions): CredentialSource {
  const bases = new Map<string | undefined, CredentialProvider>();
  const roles = new LRUCache<string, RoleEntry>({ max: options.maxRoles });
  const unboundedRoles = new LRUCache<string, RoleEntry>({ max: options.maxRoles });
  const regions = new RegionCache(options.http);
  const sessions = new RoleSessions(options.http, getBase);

  function getBase(profile: string | undefined): CredentialProvider {
    const base = bases.get(profile) ?? createBaseProvider(profile, regions, options);
    bases.set(profile, base);
    return base;
  }

  return {
    getProvider(identity) {
      const { key, role, profile } = identity;
      if (role === undefined) {
        return getBase(profile);
      }
      const cache = identity.isUnbounded ? unboundedRoles : roles;
      const provider =
        cache.get(key)?.provider ?? createRoleProvider(identity, role, { ...options, regions, sessions });
      const isDerivedFrom = (other: string | undefined) =>
        identity.webIdentity === undefined && other === profile;
      cache.set(key, { provider, isDerivedFrom });
      return provider;
    },
    reset({ key, profile, webIdentity }) {
      unboundedRoles.delete(key);
      if (webIdentity !== undefined) {
        return;
      }
      bases.delete(profile);
      regions.delete(profile);
      sessions.forget(profile);
      for (const cache of [roles, unboundedRoles]) {
        for (const [other, entry] of [...cache.entries()]) {
          if (entry.isDerivedFrom(profile)) {
            cache.delete(other);
          }
        }
      }
    },
  };
}

/**
 * The process's own credentials, from the SDK's default chain, or those of a profile. A profile without credentials has no
 * fallback to the chain, which would find those of another identity.
 */
function createBaseProvider(
  profile: string | undefined,
  regions: RegionCache,
  options: CredentialsOptions,
): CredentialProvider {
  const { http, environment, timeoutMs, now } = options;
  const roleArn = profile === undefined ? environment['AWS_ROLE_ARN'] || undefined : undefined;
  const sdkOptions = {
    ignoreCache: true,
    clientConfig: { requestHandler: http },
    parentClientConfig: {
      requestHandler: http,
      region: async () => resolveStsRegion(roleArn, await regions.get(profile)),
    },
  };
  const getCredentials: CredentialProvider =
    profile === undefined
      ? fromNodeProviderChain(sdkOptions)
      : cacheCredentials(fromIni({ ...sdkOptions, profile }), now);
  return async () => {
    try {
      return await withTimeout(timeoutMs, 'CredentialsTimeoutError', () => getCredentials());
    } catch (error) {
      throw new CredentialError('base', error, findUnreadableFile(environment, profile));
    }
  };
}

interface RoleProviderOptions extends CredentialsOptions {
  readonly regions: RegionCache;
  readonly sessions: RoleSessions;
}

function createRoleProvider(
  identity: Identity,
  role: Role,
  options: RoleProviderOptions,
): CredentialProvider {
  const { timeoutMs, now } = options;
  const { sessionPolicy = '' } = role;
  return cacheCredentials(async () => {
    if (sessionPolicy.length > maxSessionPolicyLength) {
      throw new CredentialError('session-policy', undefined);
    }
    return await runCredentialStep('role', () =>
      withTimeout(timeoutMs, 'CredentialsTimeoutError', (signal) =>
        assumeRole(identity, role, options, signal),
      ),
    );
  }, now);
}

const rejectTokenRequest: RequestToken = () => Promise.reject(new Error('no API server'));

async function assumeRole(
  { profile, webIdentity }: Identity,
  role: Role,
  { regions, sessions, requestToken = rejectTokenRequest }: RoleProviderOptions,
  signal: AbortSignal,
): Promise<Credentials> {
  if (webIdentity === undefined) {
    const region = resolveStsRegion(role.roleArn, await regions.get(profile));
    return await sessions.assume(role, { profile, region, signal });
  }
  const { namespace, serviceAccount, audience } = webIdentity;
  const token = await runCredentialStep('service-account', () =>
    requestToken(namespace, serviceAccount, audience),
  );
  const region = resolveStsRegion(role.roleArn, await regions.get(undefined));
  return await sessions.assumeWithToken(role, token, { region, signal });
}

/** Coalesces calls, and caches credentials until shortly before they expire. Failures are not cached. */
function cacheCredentials(fetchCredentials: CredentialProvider, now: () => number): CredentialProvider {
  let cached: Credentials | undefined;
  let inFlight: Promise<Credentials> | undefined;
  return () => {
    if (
      cached !== undefined &&
      now() < (cached.expiration?.getTime() ?? Number.POSITIVE_INFINITY) - refreshBeforeExpiryMs
    ) {
      return Promise.resolve(cached);
    }
    inFlight ??= fetchCredentials()
      .then((credentials) => {
        cached = credentials;
        return credentials;
      })
      .finally(() => {
        inFlight = undefined;
      });
    return inFlight;
  };
}
