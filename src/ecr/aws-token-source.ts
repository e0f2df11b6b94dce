// Creates the token source that calls Amazon ECR through the AWS SDK.
import type { Environment } from './aws-settings.ts';
import type { EndpointTrust } from './call-queue.ts';
import type { RequestToken } from './credentials.ts';
import { createEcrTokenClient } from './ecr-client.ts';
import type { CallTimeouts } from './http-handler.ts';
import type { IdentityResolver } from './identity.ts';
import type { Registry } from './registry.ts';
import type { Freshness } from './token-policy.ts';
import { createTokenSource, type TokenCall, type TokenSource } from './token-source.ts';

export interface AwsTokenSourceOptions {
  readonly resolveIdentity: IdentityResolver;
  readonly freshness: Freshness;
  readonly timeouts: CallTimeouts;
  /** Max tokens, failures, clients and role sessions in each cache: one per identity, region and kind of endpoint. */
  readonly maxKeys: number;
  readonly environment: Environment;
  /** For identities with a web identity; by default, they get no token. */
  readonly requestToken?: RequestToken;
  /** The wall clock in ms. */
  now(): number;
  /** A monotonic clock in ms; `performance.now` by default. */
  readonly monotonicNow?: () => number;
  /** Returns a number in [0, 1). */
  random(): number;
  /** Returns the trust in the endpoint of a registry from which this process has not received a token yet. */
  getEndpointTrust?(registry: Registry): EndpointTrust;
  onCall?(call: TokenCall): void;
}

/** Creates a token source from the SDK's environment. `close` closes all connections. */
export function createAwsTokenSource(options: AwsTokenSourceOptions): TokenSource & { close(): void } {
  const { timeouts, environment, maxKeys, now, freshness } = options;
  const aws = createEcrTokenClient({
    environment,
    timeouts,
    maxClients: maxKeys,
    requestToken: options.requestToken,
    now: () => now(),
  });
  const source = createTokenSource({
    resolveIdentity: options.resolveIdentity,
    fetchToken: aws.fetchToken,
    freshness,
    maxKeys,
    now: () => now(),
    monotonicNow: options.monotonicNow ?? (() => performance.now()),
    random: () => options.random(),
    getEndpointTrust: (registry) => options.getEndpointTrust?.(registry) ?? 'unproven',
    onCall: (call) => options.onCall?.(call),
  });
  return { ...source, close: aws.close };
}
