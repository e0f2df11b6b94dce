// The composition root: builds the components between AWS and the API server from the configuration, for all commands.
import { randomBytes } from 'node:crypto';
import { createCallerIdentityMonitor } from './app-caller-identity.ts';
import { connectToCluster } from './app-cluster.ts';
import type { AppDependencies } from './app-dependencies.ts';
import { createIdentities, type Identities } from './app-identities.ts';
import { createHosts, createSecretWriter, createUnstoredHosts } from './app-pull-secrets.ts';
import { createTokens, toHostFailure } from './app-tokens.ts';
import type { CallerIdentityMonitor } from './ecr/caller-identity-monitor.ts';
import { defaultDecision } from './ecr/identity.ts';
import { createRegistryResolver, type RegistryResolver } from './ecr/registry.ts';
import { createCachedRegistryResolver } from './ecr/registry-cache.ts';
import { type DecisionRules, getAdmissionExclusions } from './injection/decision.ts';
import { createPullSecretReference } from './injection/patch.ts';
import type { ClusterConfig } from './kube/client.ts';
import { createServiceAccountTokenRequester } from './kube/service-account-tokens.ts';
import type { PullSecrets } from './pull-secrets/ensure.ts';
import type { PodHostLister } from './pull-secrets/hosts-in-use.ts';
import type { MetadataRollout } from './pull-secrets/metadata-rollout.ts';
import type { MissingHosts } from './pull-secrets/missing-hosts.ts';
import { findMetadataChange } from './pull-secrets/operator-metadata.ts';
import { createReplacedSecretReporter } from './pull-secrets/replaced-secret-report.ts';
import { SecretCache } from './pull-secrets/secret-cache.ts';
import type { UnstoredHosts } from './pull-secrets/unstored-hosts.ts';
import type { PlanRules } from './renewal/plan-types.ts';
import { matchesAny } from './util/glob.ts';

/** The components that every command needs. */
export interface App {
  readonly cluster: ClusterConfig;
  readonly secretCache: SecretCache;
  readonly secrets: PullSecrets;
  /** Does nothing until it is started. */
  readonly metadataRollout: MetadataRollout;
  readonly resolveRegistry: RegistryResolver;
  readonly identities: Identities;
  /** Which AWS identity the process has. Does nothing until it is started. */
  readonly callerIdentity: CallerIdentityMonitor;
  /** The rules of decisions about pods, with a registry cache of their own: one caller cannot push out what another needs. */
  createDecisionRules(): DecisionRules;
  /** The rules of renewal. */
  readonly planRules: Omit<PlanRules, 'namespaceFailure' | 'lastStartAt'>;
  /** The dependencies of housekeeping. */
  readonly housekeeping: {
    readonly missing: MissingHosts;
    readonly unstored: UnstoredHosts;
    readonly pods: PodHostLister;
    readonly replica: string;
    isConfigured(host: string): boolean;
    isDenied(namespace: string, host: string): boolean;
    forgetHosts(namespace: string): Promise<void>;
  };
  /** Closes all connections. */
  close(): Promise<void>;
}

export function createApp(dependencies: AppDependencies): App {
  const { config, log, monotonicNow } = dependencies;
  const cluster = connectToCluster(config, log);
  const resolveRegistry = createRegistryResolver(config);
  const secretCache = new SecretCache(
    resolveRegistry,
    monotonicNow,
    createReplacedSecretReporter(config.secretName, log, monotonicNow),
    (namespace) => matchesAny(config.exclude.namespaces, namespace),
    (secret) => findMetadataChange(secret, config.secrets) !== undefined,
  );
  const startedAt = dependencies.now();
  const replica = randomBytes(4).toString('hex');
  const freshness = { fraction: config.tokens.freshFraction, floorMs: config.tokens.minimumLife };
  const identities = createIdentities(config.registries, cluster, dependencies.now);
  const resolveCachedRegistry = createCachedRegistryResolver(resolveRegistry);
  const identityOf = (namespace: string, host: string) => {
    const registry = resolveCachedRegistry(host);
    return registry === undefined ? defaultDecision : identities.resolve(namespace, registry);
  };
  const requestToken = createServiceAccountTokenRequester(cluster);
  const callerIdentity = createCallerIdentityMonitor(dependencies);
  const tokens = createTokens(dependencies, {
    ...{ secretCache, resolveRegistry, identities, requestToken },
    onCall: (call) => callerIdentity.recordCall(call),
  });
  const hosts = createHosts(dependencies, { cluster, resolveRegistry });
  const unstored = createUnstoredHosts(dependencies);
  const { secrets, metadataRollout, forgetHosts } = createSecretWriter(dependencies, {
    ...{ cluster, secretCache, resolveRegistry, identities, tokens, hosts, unstored, replica },
    ...{ freshness, identityOf },
    identityKnownSince: (namespace) => Math.max(startedAt, identities.changedAt(namespace) ?? startedAt),
  });
  return {
    cluster,
    secretCache,
    secrets,
    metadataRollout,
    resolveRegistry,
    identities,
    callerIdentity,
    createDecisionRules: () => ({
      reference: createPullSecretReference(config.secretName),
      resolveRegistry: createCachedRegistryResolver(resolveRegistry),
      exclude: getAdmissionExclusions(config),
      findDenyingRule: identities.findDenyingRule,
    }),
    planRules: {
      replica,
      freshness,
      startedAt,
      identityOf,
      identityChangedAt: identities.changedAt,
      cachedToken: (namespace, host, decision) => {
        const registry = resolveCachedRegistry(host);
        return registry && tokens.getCached(namespace, registry, decision);
      },
      regionFailure: (namespace, host, decision) => {
        const registry = resolveCachedRegistry(host);
        const failure = registry && tokens.getFailure(namespace, registry, decision);
        return failure && toHostFailure(failure);
      },
    },
    housekeeping: {
      missing: hosts.missing,
      unstored,
      pods: hosts.pods,
      replica,
      isConfigured: hosts.isConfigured,
      isDenied: (namespace, host) => identityOf(namespace, host).access === 'denied',
      forgetHosts,
    },
    close: async () => {
      callerIdentity.stop();
      tokens.close();
      await cluster.close();
    },
  };
}
