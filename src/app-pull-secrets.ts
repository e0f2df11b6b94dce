// Builds what writes pull Secrets, and what decides which hosts they hold.
import type { AppDependencies } from './app-dependencies.ts';
import type { Identities } from './app-identities.ts';
import type { DeniedHost } from './ecr/identity.ts';
import type { RegistryResolver } from './ecr/registry.ts';
import { maxRetryDelayMs } from './ecr/token-policy.ts';
import type { TokenSource } from './ecr/token-source.ts';
import type { ClusterConfig } from './kube/client.ts';
import { listPods } from './kube/pods.ts';
import { createSecretApi } from './kube/secrets.ts';
import type { DropReason } from './pull-secrets/apply.ts';
import { createPullSecrets, type PullSecrets, type PullSecretsDependencies } from './pull-secrets/ensure.ts';
import { createTokenRules } from './pull-secrets/host-needs.ts';
import { DropPolicy, forgetHosts } from './pull-secrets/host-removal.ts';
import { PodHostLister } from './pull-secrets/hosts-in-use.ts';
import { MetadataRollout } from './pull-secrets/metadata-rollout.ts';
import { MissingHosts } from './pull-secrets/missing-hosts.ts';
import type { SecretCache } from './pull-secrets/secret-cache.ts';
import { createSecretStore } from './pull-secrets/secret-store.ts';
import { UnstoredHosts } from './pull-secrets/unstored-hosts.ts';

/**
 * How long a pod waits for ECR before the Secret of its namespace is written with the host but without a token, in ms. It is
 * well below the 5 s that the API server waits, so that the host is stored before the pod is admitted.
 */
const defaultMaxWaitMs = 2_000;

/** Hosts that one log line names. */
const maxLoggedHosts = 5;

interface HostsDependencies {
  readonly cluster: ClusterConfig;
  readonly resolveRegistry: RegistryResolver;
}

/** Builds what decides which hosts stay in Secrets: the pods, and the hosts that the operator named. */
export function createHosts(app: AppDependencies, { cluster, resolveRegistry }: HostsDependencies) {
  const { config, configuredRegistries, log, now, monotonicNow } = app;
  const missing = new MissingHosts(config.secrets.forgetAfter);
  const pods = new PodHostLister({
    list: (namespace, onPod) => listPods(cluster, namespace, onPod),
    monotonicNow,
    log,
    resolveRegistry,
    secretName: config.secretName,
  });
  const configuredHosts = new Set(configuredRegistries.map(({ host }) => host));
  const isConfigured = (host: string) => configuredHosts.has(host);
  const dropPolicy = new DropPolicy({ pods, missing, isConfigured, now, monotonicNow });
  return { missing, pods, dropPolicy, isConfigured };
}

export function createUnstoredHosts(app: AppDependencies): UnstoredHosts {
  return new UnstoredHosts({
    maxHostsPerNamespace: app.config.secrets.maxHosts,
    monotonicNow: app.monotonicNow,
    onForgotten: (namespace, hosts, reason) => {
      app.metrics.countForgottenHosts(reason, hosts.length);
      app.log.warn(
        { namespace, reason, hosts: hosts.slice(0, maxLoggedHosts), hostCount: hosts.length },
        'hosts that could not be stored are no longer retried',
      );
    },
  });
}

interface SecretWriterDependencies
  extends HostsDependencies,
    Required<
      Pick<Parameters<typeof createTokenRules>[0], 'freshness' | 'identityOf' | 'identityKnownSince'>
    > {
  readonly secretCache: SecretCache;
  readonly identities: Pick<Identities, 'waitUntilKnown'>;
  readonly tokens: TokenSource;
  readonly hosts: ReturnType<typeof createHosts>;
  readonly unstored: UnstoredHosts;
  /** Identifies this process among the replicas. */
  readonly replica: string;
}

/** Builds what adds tokens to Secrets (`secrets`), what removes hosts from them (`forgetHosts`), and what changes their labels. */
export function createSecretWriter(
  app: AppDependencies,
  dependencies: SecretWriterDependencies,
): {
  readonly secrets: PullSecrets;
  readonly metadataRollout: MetadataRollout;
  forgetHosts(namespace: string): Promise<void>;
} {
  const { config, log, metrics, isInSync, isPersistent, now } = app;
  const { cluster, secretCache, resolveRegistry, identities, tokens, unstored } = dependencies;
  const { freshness, identityOf, identityKnownSince } = dependencies;
  const { pods, dropPolicy } = dependencies.hosts;
  const writing = {
    store: createSecretStore(
      createSecretApi(cluster),
      config.secretName,
      dependencies.replica,
      config.secrets,
    ),
    secretCache,
    resolveRegistry,
    dropPolicy,
    rules: createTokenRules({
      ...{ freshness, maxHosts: config.secrets.maxHosts, identityOf, identityKnownSince, now },
    }),
    log,
    isPersistent,
    countWrite: metrics.countSecretWrite,
    onDropped: (namespace: string, hosts: readonly string[], reason: DropReason) => {
      metrics.countDroppedHosts(reason, hosts.length);
      if (reason !== 'unconfigured' && reason !== 'denied') {
        dropPolicy.recordDropped(namespace, hosts);
      }
    },
    onDenied: (namespace: string, hosts: readonly DeniedHost[]) => app.onDenied?.(namespace, hosts),
  } satisfies Partial<PullSecretsDependencies>;
  const secrets = createPullSecrets({
    ...writing,
    unstored,
    hasSynced: isInSync,
    getToken: async (namespace, registry) => {
      await identities.waitUntilKnown(namespace, registry);
      return await tokens.get(namespace, registry);
    },
    fetchNewToken: (namespace, registry, expiresAt) =>
      tokens.get(namespace, registry, {
        minRemainingMs: Number.POSITIVE_INFINITY,
        maxRetryDelayMs: maxRetryDelayMs(expiresAt, now()),
      }),
    lastError: (namespace, registry) => tokens.getFailure(namespace, registry)?.error,
    maxWaitMs: app.maxWaitMs ?? defaultMaxWaitMs,
  });
  return {
    secrets,
    metadataRollout: new MetadataRollout({
      ...writing,
      wanted: config.secrets,
      perSecond: config.renewal.writesPerSecond,
    }),
    forgetHosts: (namespace) =>
      forgetHosts(namespace, {
        ...writing,
        pods,
        createKeepRule: (of, inUse) => dropPolicy.createKeepRule(of, inUse),
        forgetAfterMs: config.secrets.forgetAfter,
      }),
  };
}
