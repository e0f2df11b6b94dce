import { randomBytes } from 'node:crypto';
import packageJson from '../package.json' with { type: 'json' };
import type { Config } from './config/schema.ts';
import { awsTokens } from './ecr/aws-token-source.ts';
import type { Standing } from './ecr/call-queue.ts';
import { identityOfHost } from './ecr/identity.ts';
import { parseEcrHost, type Registry } from './ecr/registry.ts';
import { mostWaitMs } from './ecr/token-policy.ts';
import type { TokenSource } from './ecr/token-source.ts';
import type { CallSlotsState } from './kube/call-slots.ts';
import { type ClusterConfig, loadKubeConfig } from './kube/client.ts';
import { listPods } from './kube/pods.ts';
import { secretApi } from './kube/secrets.ts';
import { productName } from './labels.ts';
import type { DropReason } from './pull-secrets/apply.ts';
import { secretStore } from './pull-secrets/apply.ts';
import { claimedEndpoints, endpointOf } from './pull-secrets/claimed-endpoints.ts';
import { type PullSecrets, pullSecrets } from './pull-secrets/ensure.ts';
import { pullSecretRules } from './pull-secrets/host-needs.ts';
import { forgetHosts, Room } from './pull-secrets/host-removal.ts';
import { PodsInUse } from './pull-secrets/hosts-in-use.ts';
import { MissingHosts } from './pull-secrets/missing-hosts.ts';
import { replacedReport } from './pull-secrets/replaced-secret-report.ts';
import { SecretView } from './pull-secrets/secret-cache.ts';
import { UnstoredHosts } from './pull-secrets/unstored-hosts.ts';
import type { PlanRules, Trouble } from './renewal/plan-types.ts';
import type { Log } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { matchesAny } from './util/glob.ts';
import { occasionally } from './util/throttle-report.ts';

/** What every way to run the program needs. */
export interface Core {
  readonly cluster: ClusterConfig;
  readonly view: SecretView;
  readonly secrets: PullSecrets;
  /** What renewal goes by, for one replica that began to run at a time in ms. */
  planRules(startedAt: number): Omit<PlanRules, 'namespaceTrouble' | 'lastStart'>;
  /** What housekeeping goes by. */
  readonly housekeeping: {
    readonly missing: MissingHosts;
    readonly unstored: UnstoredHosts;
    readonly pods: PodsInUse;
    readonly replica: string;
    isConfigured(host: string): boolean;
    forget(namespace: string): Promise<void>;
  };
  /** Ends all connections. */
  close(): Promise<void>;
}

export interface CoreParts {
  readonly config: Config;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'ecrCall' | 'secretWrite' | 'hostsDropped' | 'unstoredForgotten'>;
  /** Registries that the operator named: their endpoints are taken for real ones. */
  readonly configured: readonly Registry[];
  /** Whether the view may be believed without asking the API server. */
  inSync(): boolean;
  /** How long to wait for ECR before a Secret is written without the token, in ms; {@link patienceMs} if not given. */
  readonly patienceMs?: number;
  /** Whether failed writes are repeated for up to a minute, because no renewal follows. */
  readonly isPatient?: boolean;
  /** The wall clock in ms. */
  now(): number;
  /** A clock in ms that is never set; the process's own if not given. */
  readonly steady?: () => number;
}

/**
 * How long a pod waits for ECR before its namespace's Secret is written with the host as one to be filled in: well
 * below the 5 s that the API server gives us, so that the note is stored before the pod is admitted.
 */
const patienceMs = 2_000;

/** Makes the parts between AWS and the API server, and puts them together. */
export function compose(parts: CoreParts): Core {
  const { config, log, metrics, inSync, now, steady } = parts;
  const cluster = loadKubeConfig({
    kubeconfigPath: config.kubernetes.kubeconfig,
    requestTimeoutMs: config.kubernetes.requestTimeout,
    writeTimeoutMs: config.kubernetes.writeTimeout,
    onOverload: overloadReport(log),
    userAgent: `${productName}/${packageJson.version}`,
  });
  const view = new SecretView(steady, replacedReport(config.secretName, log, steady), (namespace) =>
    matchesAny(config.exclude.namespaces, namespace),
  );
  const replica = randomBytes(4).toString('hex');
  const freshness = { fraction: config.tokens.freshFraction, floorMs: config.tokens.minimumLife };
  const identityOf = identityOfHost(config.registries);
  const tokens = tokensOf(parts, standings(parts.configured, view, now));
  const { missing, pods, room, isConfigured } = roomOf(cluster, parts);
  const unstored = unstoredOf(parts);
  const writing = {
    store: secretStore(secretApi(cluster), config.secretName, replica),
    view,
    room,
    rules: pullSecretRules({ freshness, maxHosts: config.secrets.maxHosts, identityOf, now }),
    log,
    isPatient: parts.isPatient,
    counted: metrics.secretWrite,
    dropped: (namespace: string, hosts: readonly string[], reason: DropReason) => {
      metrics.hostsDropped(reason, hosts.length);
      room.dropped(namespace, hosts);
    },
  };
  const secrets = pullSecrets({
    ...writing,
    unstored,
    inSync,
    token: (namespace, registry) => tokens.get(registry, { namespace }),
    newToken: (namespace, registry, endsAt) =>
      tokens.get(registry, {
        namespace,
        minRemainingMs: Number.POSITIVE_INFINITY,
        mostWaitMs: mostWaitMs(endsAt, now()),
      }),
    failure: (registry) => tokens.failure(registry)?.error,
    patienceMs: parts.patienceMs ?? patienceMs,
  });
  return {
    cluster,
    view,
    secrets,
    planRules: (startedAt) => ({
      replica,
      freshness,
      startedAt,
      identityOf,
      remembered: (host) => withRegistry(host, (registry) => tokens.remembered(registry)),
      regionTrouble: (host) => withRegistry(host, (registry) => troubleOf(tokens, registry)),
    }),
    housekeeping: {
      ...{ missing, unstored, pods, replica, isConfigured },
      forget: (namespace) =>
        forgetHosts(namespace, {
          ...writing,
          pods,
          keeps: (of, inUse) => room.keeps(of, inUse),
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
function overloadReport(log: Log): (calls: CallSlotsState) => void {
  const steady = () => performance.now();
  return occasionally(overloadLogIntervalMs, steady, (times, { inFlight, slow, waiting }: CallSlotsState) =>
    log.warn(
      { times, inFlight, slow, waiting },
      'did not send calls to the API server: too many are in flight',
    ),
  );
}

function standings(configured: readonly Registry[], view: SecretView, now: () => number) {
  const proven = new Set(configured.map(endpointOf));
  const isClaimed = claimedEndpoints({ secrets: () => view.entries(), changes: () => view.changes, now });
  return (registry: Registry): Standing => {
    if (proven.has(endpointOf(registry))) {
      return 'proven';
    }
    return isClaimed(registry) ? 'claimed' : 'unproven';
  };
}

/** What decides which hosts stay in Secrets: pods, and what the operator named. */
function roomOf(cluster: ClusterConfig, { config, configured, log, now, steady }: CoreParts) {
  const monotonic = steady ?? (() => performance.now());
  const missing = new MissingHosts(config.secrets.forgetAfter);
  const list = (namespace: string, onPod: (pod: unknown) => void) => listPods(cluster, namespace, onPod);
  const pods = new PodsInUse({ list, steady: monotonic, log, secretName: config.secretName });
  const named = new Set(configured.map(({ host }) => host));
  const isConfigured = (host: string) => named.has(host);
  const room = new Room({ pods, missing, isConfigured, now, steady: monotonic });
  return { missing, pods, room, isConfigured };
}

/** Hosts named in one line of the log. */
const maxNamed = 5;

function unstoredOf({ config, log, metrics, steady }: CoreParts): UnstoredHosts {
  return new UnstoredHosts({
    maxHostsPerNamespace: config.secrets.maxHosts,
    steady: steady ?? (() => performance.now()),
    onForgotten: (namespace, hosts, reason) => {
      metrics.unstoredForgotten(reason, hosts.length);
      const named = hosts.slice(0, maxNamed);
      log.warn(
        { namespace, reason, hosts: named, forgotten: hosts.length },
        'hosts that could not be stored are no longer retried',
      );
    },
  });
}

function tokensOf(
  { config, environment, log, metrics, now, steady }: CoreParts,
  standingOf: (registry: Registry) => Standing,
) {
  const { freshFraction, minimumLife, requestTimeout, connectTimeout, maxRegions } = config.tokens;
  return awsTokens({
    rules: config.registries,
    freshness: { fraction: freshFraction, floorMs: minimumLife },
    timeouts: { connectMs: connectTimeout, requestMs: requestTimeout },
    maxKeys: maxRegions,
    environment,
    now,
    random: Math.random,
    standingOf,
    ...(steady && { monotonicNow: steady }),
    onCall: ({ identity, region, outcome, failure, servedOld }) => {
      metrics.ecrCall(region, outcome);
      if (failure === undefined) {
        log.info({ identity, region }, 'new ECR token');
      } else {
        const { permanent } = failure;
        log.warn({ identity, region, permanent, servedOld, err: failure }, 'no new ECR token');
      }
    },
  });
}

function withRegistry<T>(host: string, ask: (registry: Registry) => T | undefined): T | undefined {
  const registry = parseEcrHost(host);
  return registry === undefined ? undefined : ask(registry);
}

function troubleOf(tokens: TokenSource, registry: Registry): Trouble | undefined {
  const failure = tokens.failure(registry);
  if (failure === undefined) {
    return undefined;
  }
  const { error, since, at, retryAt } = failure;
  return { code: error.code, permanent: error.permanent, message: error.message, since, at, retryAt };
}
