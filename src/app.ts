import { randomBytes } from 'node:crypto';
import packageJson from '../package.json' with { type: 'json' };
import type { Config } from './config/schema.ts';
import { createAwsTokenSource } from './ecr/aws-token-source.ts';
import type { EndpointTrust } from './ecr/call-queue.ts';
import { createFingerprintResolver } from './ecr/identity.ts';
import { createRegistryResolver, type Registry, type RegistryResolver } from './ecr/registry.ts';
import { createCachedRegistryResolver } from './ecr/registry-cache.ts';
import { maxRetryDelayMs } from './ecr/token-policy.ts';
import type { TokenSource } from './ecr/token-source.ts';
import type { CallSlotsState } from './kube/call-slots.ts';
import { type ClusterConfig, loadKubeConfig } from './kube/client.ts';
import { listPods } from './kube/pods.ts';
import { createSecretApi } from './kube/secrets.ts';
import { productName } from './labels.ts';
import type { DropReason } from './pull-secrets/apply.ts';
import { createClaimedEndpointCheck, endpointKey } from './pull-secrets/claimed-endpoints.ts';
import { createPullSecrets, type PullSecrets, type PullSecretsDependencies } from './pull-secrets/ensure.ts';
import { createTokenRules } from './pull-secrets/host-needs.ts';
import { DropPolicy, forgetHosts } from './pull-secrets/host-removal.ts';
import { PodHostLister } from './pull-secrets/hosts-in-use.ts';
import { MissingHosts } from './pull-secrets/missing-hosts.ts';
import { createReplacedSecretReporter } from './pull-secrets/replaced-secret-report.ts';
import { SecretCache } from './pull-secrets/secret-cache.ts';
import { createSecretStore } from './pull-secrets/secret-store.ts';
import { UnstoredHosts } from './pull-secrets/unstored-hosts.ts';
import type { HostFailure, PlanRules } from './renewal/plan-types.ts';
import type { Log } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { matchesAny } from './util/glob.ts';
import { throttleReport } from './util/throttle-report.ts';

/** What every way to run the program needs. */
export interface App {
  readonly cluster: ClusterConfig;
  readonly secretCache: SecretCache;
  readonly secrets: PullSecrets;
  readonly resolveRegistry: RegistryResolver;
  /** What renewal goes by, for one replica that began to run at a time in ms. */
  planRules(startedAt: number): Omit<PlanRules, 'namespaceFailure' | 'lastStartAt'>;
  /** What housekeeping goes by. */
  readonly housekeeping: {
    readonly missing: MissingHosts;
    readonly unstored: UnstoredHosts;
    readonly pods: PodHostLister;
    readonly replica: string;
    isConfigured(host: string): boolean;
    forgetHosts(namespace: string): Promise<void>;
  };
  /** Ends all connections. */
  close(): Promise<void>;
}

export interface AppDependencies {
  readonly config: Config;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly metrics: Pick<
    Metrics,
    'countEcrCall' | 'countSecretWrite' | 'countDroppedHosts' | 'countForgottenHosts'
  >;
  /** Registries that the operator named: their endpoints are taken for real ones. */
  readonly configuredRegistries: readonly Registry[];
  /** Whether the view may be believed without asking the API server. */
  isInSync(): boolean;
  /** How long to wait for ECR before a Secret is written without the token, in ms; {@link maxWaitMs} if not given. */
  readonly maxWaitMs?: number;
  /** Whether failed writes are repeated for up to a minute, because no renewal follows. */
  readonly isPersistent?: boolean;
  /** The wall clock in ms. */
  now(): number;
  /** A clock in ms that is never set; the process's own if not given. */
  readonly monotonicNow?: () => number;
}

/**
 * How long a pod waits for ECR before its namespace's Secret is written with the host as one to be filled in: well
 * below the 5 s that the API server gives us, so that the note is stored before the pod is admitted.
 */
const maxWaitMs = 2_000;

/** Makes the parts between AWS and the API server, and puts them together. */
export function createApp(dependencies: AppDependencies): App {
  const { config, log, metrics, isInSync, now, monotonicNow } = dependencies;
  const cluster = loadKubeConfig({
    kubeconfigPath: config.kubernetes.kubeconfig,
    requestTimeoutMs: config.kubernetes.requestTimeout,
    writeTimeoutMs: config.kubernetes.writeTimeout,
    onOverload: createOverloadReporter(log),
    userAgent: `${productName}/${packageJson.version}`,
  });
  const resolveRegistry = createRegistryResolver(config);
  const secretCache = new SecretCache(
    resolveRegistry,
    monotonicNow,
    createReplacedSecretReporter(config.secretName, log, monotonicNow),
    (namespace) => matchesAny(config.exclude.namespaces, namespace),
  );
  const replica = randomBytes(4).toString('hex');
  const freshness = { fraction: config.tokens.freshFraction, floorMs: config.tokens.minimumLife };
  const identityOf = createFingerprintResolver(
    config.registries,
    createCachedRegistryResolver(resolveRegistry),
  );
  const tokens = createTokenSource(
    dependencies,
    createStandingResolver(dependencies.configuredRegistries, secretCache, resolveRegistry, now),
  );
  const { missing, pods, room, isConfigured } = createHostRetention(cluster, resolveRegistry, dependencies);
  const unstored = createUnstoredHosts(dependencies);
  const writing = {
    store: createSecretStore(createSecretApi(cluster), config.secretName, replica),
    secretCache,
    resolveRegistry,
    dropPolicy: room,
    rules: createTokenRules({ freshness, maxHosts: config.secrets.maxHosts, identityOf, now }),
    log,
    isPersistent: dependencies.isPersistent,
    countWrite: metrics.countSecretWrite,
    onDropped: (namespace: string, hosts: readonly string[], reason: DropReason) => {
      metrics.countDroppedHosts(reason, hosts.length);
      room.recordDropped(namespace, hosts);
    },
  } satisfies Partial<PullSecretsDependencies>;
  const secrets = createPullSecrets({
    ...writing,
    unstored,
    hasSynced: isInSync,
    getToken: (namespace, registry) => tokens.get(namespace, registry),
    fetchNewToken: (namespace, registry, expiresAt) =>
      tokens.get(namespace, registry, {
        minRemainingMs: Number.POSITIVE_INFINITY,
        maxRetryDelayMs: maxRetryDelayMs(expiresAt, now()),
      }),
    lastError: (namespace, registry) => tokens.getFailure(namespace, registry)?.error,
    maxWaitMs: dependencies.maxWaitMs ?? maxWaitMs,
  });
  return {
    cluster,
    secretCache,
    secrets,
    resolveRegistry,
    planRules: (startedAt) => ({
      replica,
      freshness,
      startedAt,
      identityOf,
      cachedToken: (namespace, host) => {
        const registry = resolveRegistry(host);
        return registry && tokens.getCached(namespace, registry);
      },
      regionFailure: (namespace, host) => {
        const registry = resolveRegistry(host);
        return registry && getHostFailure(tokens, namespace, registry);
      },
    }),
    housekeeping: {
      ...{ missing, unstored, pods, replica, isConfigured },
      forgetHosts: (namespace) =>
        forgetHosts(namespace, {
          ...writing,
          pods,
          createKeepRule: (of, inUse) => room.createKeepRule(of, inUse),
          forgetAfterMs: config.secrets.forgetAfter,
        }),
    },
    close: async () => {
      tokens.close();
      await cluster.close();
    },
  };
}

/** At most one line in this time, ms. */
const overloadLogIntervalMs = 60_000;

/** Reports calls to the API server that were not sent. Who made them reports the failure of each as well. */
function createOverloadReporter(log: Log): (calls: CallSlotsState) => void {
  const monotonicNow = () => performance.now();
  return throttleReport(
    overloadLogIntervalMs,
    monotonicNow,
    (times, { inFlight, slow, waiting }: CallSlotsState) =>
      log.warn(
        { times, inFlight, slow, waiting },
        'did not send calls to the API server: too many are in flight',
      ),
  );
}

function createStandingResolver(
  configured: readonly Registry[],
  secretCache: SecretCache,
  resolveRegistry: RegistryResolver,
  now: () => number,
) {
  const proven = new Set(configured.map(endpointKey));
  const isClaimed = createClaimedEndpointCheck({
    secrets: () => secretCache.entries(),
    changeCount: () => secretCache.changeCount,
    resolveRegistry,
    now,
  });
  return (registry: Registry): EndpointTrust => {
    if (proven.has(endpointKey(registry))) {
      return 'proven';
    }
    return isClaimed(registry) ? 'claimed' : 'unproven';
  };
}

/** What decides which hosts stay in Secrets: pods, and what the operator named. */
function createHostRetention(
  cluster: ClusterConfig,
  resolveRegistry: RegistryResolver,
  { config, configuredRegistries, log, now, monotonicNow: monotonicMs }: AppDependencies,
) {
  const monotonic = monotonicMs ?? (() => performance.now());
  const missing = new MissingHosts(config.secrets.forgetAfter);
  const list = (namespace: string, onPod: (pod: unknown) => void) => listPods(cluster, namespace, onPod);
  const pods = new PodHostLister({
    list,
    monotonicNow: monotonic,
    log,
    resolveRegistry,
    secretName: config.secretName,
  });
  const named = new Set(configuredRegistries.map(({ host }) => host));
  const isConfigured = (host: string) => named.has(host);
  const room = new DropPolicy({ pods, missing, isConfigured, now, monotonicNow: monotonic });
  return { missing, pods, room, isConfigured };
}

/** Hosts named in one line of the log. */
const maxLoggedHosts = 5;

function createUnstoredHosts({
  config,
  log,
  metrics,
  monotonicNow: monotonicMs,
}: AppDependencies): UnstoredHosts {
  return new UnstoredHosts({
    maxHostsPerNamespace: config.secrets.maxHosts,
    monotonicNow: monotonicMs ?? (() => performance.now()),
    onForgotten: (namespace, hosts, reason) => {
      metrics.countForgottenHosts(reason, hosts.length);
      const named = hosts.slice(0, maxLoggedHosts);
      log.warn(
        { namespace, reason, hosts: named, forgotten: hosts.length },
        'hosts that could not be stored are no longer retried',
      );
    },
  });
}

function createTokenSource(
  { config, environment, log, metrics, now, monotonicNow: monotonicMs }: AppDependencies,
  getEndpointTrust: (registry: Registry) => EndpointTrust,
) {
  const { freshFraction, minimumLife, requestTimeout, connectTimeout, maxRegions } = config.tokens;
  return createAwsTokenSource({
    rules: config.registries,
    freshness: { fraction: freshFraction, floorMs: minimumLife },
    timeouts: { connectMs: connectTimeout, requestMs: requestTimeout },
    maxKeys: maxRegions,
    environment,
    now,
    random: Math.random,
    getEndpointTrust,
    ...(monotonicMs && { monotonicNow: monotonicMs }),
    onCall: ({ identity, region, outcome, failure, servedCached }) => {
      metrics.countEcrCall(region, outcome);
      if (failure === undefined) {
        log.info({ identity, region }, 'fetched ECR token');
      } else {
        const { permanent } = failure;
        log.warn({ identity, region, permanent, servedCached, err: failure }, 'failed to fetch ECR token');
      }
    },
  });
}

function getHostFailure(tokens: TokenSource, namespace: string, registry: Registry): HostFailure | undefined {
  const failure = tokens.getFailure(namespace, registry);
  if (failure === undefined) {
    return undefined;
  }
  const { error, since, at, retryAt } = failure;
  return { code: error.code, permanent: error.permanent, message: error.message, since, at, retryAt };
}
