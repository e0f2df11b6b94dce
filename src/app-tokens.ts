// Builds the source of ECR tokens.
import type { AppDependencies } from './app-dependencies.ts';
import type { Identities } from './app-identities.ts';
import { createAwsTokenSource } from './ecr/aws-token-source.ts';
import type { EndpointTrust } from './ecr/call-queue.ts';
import { getEndpointId, listMappedRegistries, type Registry, type RegistryResolver } from './ecr/registry.ts';
import type { FailureState } from './ecr/token-cache.ts';
import type { TokenCall } from './ecr/token-source.ts';
import type { RequestServiceAccountToken } from './kube/service-account-tokens.ts';
import { createClaimedEndpointCheck } from './pull-secrets/claimed-endpoints.ts';
import type { SecretCache } from './pull-secrets/secret-cache.ts';
import type { HostFailure } from './renewal/plan-types.ts';

interface TokensDependencies {
  readonly secretCache: SecretCache;
  readonly resolveRegistry: RegistryResolver;
  readonly identities: Pick<Identities, 'resolve'>;
  readonly requestToken: RequestServiceAccountToken;
  /** Called after each call to ECR. */
  onCall(call: TokenCall): void;
}

export function createTokens(app: AppDependencies, dependencies: TokensDependencies) {
  const { config, environment, log, metrics, now, monotonicNow } = app;
  const { freshFraction, minimumLife, requestTimeout, connectTimeout, maxRegions } = config.tokens;
  return createAwsTokenSource({
    resolveIdentity: dependencies.identities.resolve,
    requestToken: dependencies.requestToken,
    freshness: { fraction: freshFraction, floorMs: minimumLife },
    timeouts: { connectMs: connectTimeout, requestMs: requestTimeout },
    maxKeys: maxRegions,
    environment,
    now,
    random: Math.random,
    getEndpointTrust: createEndpointTrust(app, dependencies),
    monotonicNow,
    onCall: (call) => {
      const { identity, region, outcome, durationMs, failure, servedCached } = call;
      metrics.countEcrCall(region, outcome, durationMs / 1000);
      dependencies.onCall(call);
      if (failure === undefined) {
        log.info({ identity, region }, 'fetched ECR token');
      } else {
        const { permanent } = failure;
        log.warn({ identity, region, permanent, servedCached, err: failure }, 'failed to fetch ECR token');
      }
    },
  });
}

/** Creates the function that tells real ECR endpoints from those that image names may have invented. */
function createEndpointTrust(
  { config, configuredRegistries, now }: AppDependencies,
  { secretCache, resolveRegistry }: Pick<TokensDependencies, 'secretCache' | 'resolveRegistry'>,
): (registry: Registry) => EndpointTrust {
  const configured = [...configuredRegistries, ...listMappedRegistries(config)];
  const proven = new Set(configured.map(getEndpointId));
  const isClaimed = createClaimedEndpointCheck({
    secrets: () => secretCache.entries(),
    changeCount: () => secretCache.changeCount,
    resolveRegistry,
    now,
  });
  return (registry) => {
    if (registry.kind === 'public' || proven.has(getEndpointId(registry))) {
      return 'proven';
    }
    return isClaimed(registry) ? 'claimed' : 'unproven';
  };
}

/** Why the last fetch of a host's token failed, as renewal needs it. */
export function toHostFailure({ error, since, at, retryAt }: FailureState): HostFailure {
  return { code: error.code, permanent: error.permanent, message: error.message, since, at, retryAt };
}
