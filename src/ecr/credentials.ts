import { ECRClient } from '@aws-sdk/client-ecr';
import { fromNodeProviderChain, fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import { productName } from '../labels.ts';
import { within } from '../util/timeout.ts';
import type { Environment } from './aws-settings.ts';
import type { SharedHttpHandler } from './http-handler.ts';
import type { Identity, Role } from './identity.ts';
import { stsRegion } from './partitions.ts';

type Provider = ReturnType<typeof fromNodeProviderChain>;
type Credentials = Awaited<ReturnType<Provider>>;
type GetCredentials = () => Promise<Credentials>;

/** Credentials are renewed this long before they end, as the SDK does (`credentialsTreatedAsExpired`). */
const renewEarlyMs = 300_000;

export interface CredentialsOptions {
  readonly http: SharedHttpHandler;
  readonly environment: Environment;
  /** How long finding credentials may take in ms, whatever has to be asked: STS, node metadata, a process. */
  readonly mostMs: number;
  readonly now: () => number;
}

/** The AWS credentials of every identity: one default chain for all, and one assumed role for each. */
export interface CredentialSource {
  /**
   * Credentials of an identity, remembered until shortly before they end. Rejects with the SDK's own errors, or with a
   * CredentialsTimeoutError.
   */
  of(identity: Identity): GetCredentials;
  /**
   * Reads all credentials anew when they are next needed. Files and environment may have changed; and the SDK's chain
   * remembers a resolution that hangs, and would wait for it for ever.
   */
  forget(): void;
}

/**
 * The SDK's providers are called without the config of the client that asks, and get their HTTP handler and STS
 * region here: else both would come from the client that happens to be the first.
 */
export function credentialSource(options: CredentialsOptions): CredentialSource {
  const region = configuredRegion(options.http);
  const build = () => defaultChain(options, region);
  let chain = build();
  const roles = new Map<string, GetCredentials>();
  const master: GetCredentials = () => within(options.mostMs, 'CredentialsTimeoutError', () => chain());
  return {
    of: ({ key, role }) => {
      if (role === undefined) {
        return master;
      }
      const known = roles.get(key) ?? assumed(role, master, region, options);
      roles.set(key, known);
      return known;
    },
    forget: () => {
      chain = build();
      roles.clear();
    },
  };
}

function defaultChain({ http, environment }: CredentialsOptions, region: () => Promise<string | undefined>) {
  const ofSts = async () => stsRegion(environment['AWS_ROLE_ARN'] || undefined, await region());
  return fromNodeProviderChain({
    ignoreCache: true,
    clientConfig: { requestHandler: http },
    parentClientConfig: { requestHandler: http, region: ofSts },
  });
}

function assumed(
  role: Role,
  master: GetCredentials,
  region: () => Promise<string | undefined>,
  { http, mostMs, now }: CredentialsOptions,
): GetCredentials {
  const provider = fromTemporaryCredentials({
    masterCredentials: master,
    clientConfig: { requestHandler: http, region: async () => stsRegion(role.roleArn, await region()) },
    params: {
      RoleArn: role.roleArn,
      RoleSessionName: role.sessionName ?? productName,
      ExternalId: role.externalId,
      Policy: role.sessionPolicy,
    },
  });
  return remembered(() => within(mostMs, 'CredentialsTimeoutError', () => provider()), now);
}

/** One call at a time, its result kept until shortly before its end; a failure is not kept. */
function remembered(get: GetCredentials, now: () => number): GetCredentials {
  let kept: Credentials | undefined;
  let underWay: Promise<Credentials> | undefined;
  return () => {
    if (
      kept !== undefined &&
      now() < (kept.expiration?.getTime() ?? Number.POSITIVE_INFINITY) - renewEarlyMs
    ) {
      return Promise.resolve(kept);
    }
    underWay ??= get()
      .then((credentials) => {
        kept = credentials;
        return credentials;
      })
      .finally(() => {
        underWay = undefined;
      });
    return underWay;
  };
}

/** The region that the SDK finds in AWS_REGION, the profile or the node's metadata; undefined if there is none. */
function configuredRegion(http: SharedHttpHandler): () => Promise<string | undefined> {
  return () => new ECRClient({ requestHandler: http }).config.region().catch(() => undefined);
}
