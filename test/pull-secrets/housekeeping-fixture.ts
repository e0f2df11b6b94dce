// The components of one replica that add and remove hosts, with clocks that a test advances.
import { after, afterEach, before } from 'node:test';
import { stringify } from 'yaml';
import { type App, createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { resolveRegistries } from '../../src/ecr/registry.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import type { MissingHosts } from '../../src/pull-secrets/missing-hosts.ts';
import { type FullSecret, Housekeeping } from '../../src/renewal/housekeeping.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { createAccountWithRules, startEcr } from '../provisioning/provisioning-fixture.ts';
import { resolveRegistry } from '../support/registries.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

interface HousekeepingFixtureOptions {
  readonly ecr: EcrDouble;
  readonly kubeconfigPath: string;
  readonly config: Record<string, unknown>;
}

/** The components of one replica that add and remove hosts, in this process, with clocks that a test advances. */
export interface HousekeepingFixture extends Pick<App, 'secrets' | 'secretCache' | 'metadataRollout'> {
  readonly missing: MissingHosts;
  readonly log: readonly Record<string, unknown>[];
  /** `NAMESPACE REASON NUMBER` for each write that removed hosts. */
  readonly dropped: readonly string[];
  readonly full: readonly FullSecret[];
  /** Advances both clocks. */
  advanceClocks(ms: number): void;
  /** Forgets hosts of one namespace, whether it is due or not. */
  forget(namespace: string): Promise<void>;
  /** Runs one round of housekeeping. */
  round(): Promise<void>;
  /** Renews all cached hosts in all namespaces. */
  renewNow(): Promise<void>;
  /** Number of calls of `renewNow` in flight. */
  countRenewing(): number;
  stop(): Promise<void>;
}

async function startHousekeepingFixture(options: HousekeepingFixtureOptions): Promise<HousekeepingFixture> {
  const settings = { ...options.config, kubernetes: { kubeconfig: options.kubeconfigPath } };
  const config = readConfig(stringify(settings), 'test');
  const log: Record<string, unknown>[] = [];
  const dropped: string[] = [];
  const full: FullSecret[] = [];
  let advancedMs = 0;
  let renewing = 0;
  const monotonicMs = () => performance.now() + advancedMs;
  const jsonLog = createJsonLog('debug', { write: (line) => void log.push(JSON.parse(line)) });
  const now = () => Date.now() + advancedMs;
  const app = createApp({
    config,
    environment: options.ecr.env(),
    configuredRegistries: resolveRegistries(config.provisioning.registries, resolveRegistry),
    log: jsonLog,
    metrics: {
      countEcrCall: () => undefined,
      countSecretWrite: () => undefined,
      countForgottenHosts: () => undefined,
      countDroppedHosts: (reason, hosts) => {
        const namespace = log.findLast(({ msg }) => msg === 'hosts dropped from the pull Secret')?.[
          'namespace'
        ];
        dropped.push(`${namespace} ${reason} ${hosts}`);
      },
    },
    isInSync: () => watch.isInSync(),
    now,
    monotonicNow: monotonicMs,
  });
  const watch = watchSecretMetadata({
    config: app.cluster,
    name: config.secretName,
    handler: app.secretCache,
  });
  await watch.start();
  const housekeeping = new Housekeeping({
    ...app.housekeeping,
    secretCache: app.secretCache,
    resolveRegistry: app.resolveRegistry,
    secrets: app.secrets,
    forgetAfterMs: config.secrets.forgetAfter,
    now: () => ({ wallMs: now(), monotonicMs: monotonicMs() }),
    random: () => 0,
    tickMs: 1_000,
    log: jsonLog,
    onSecretFull: (secret) => full.push(secret),
  });
  return {
    ...{
      secrets: app.secrets,
      secretCache: app.secretCache,
      metadataRollout: app.metadataRollout,
      missing: app.housekeeping.missing,
      log,
      dropped,
      full,
    },
    advanceClocks: (ms) => {
      advancedMs += ms;
    },
    forget: app.housekeeping.forgetHosts,
    round: async () => {
      housekeeping.tick();
      await housekeeping.waitUntilIdle();
    },
    renewNow: async () => {
      renewing += 1;
      const known = [...app.secretCache.entries()].filter(([, { isManaged }]) => isManaged);
      await Promise.all(
        known.map(([namespace, { hosts }]) =>
          app.secrets.renew(namespace, resolveRegistries(hosts.keys(), resolveRegistry)),
        ),
      );
      renewing -= 1;
    },
    countRenewing: () => renewing,
    stop: async () => {
      await housekeeping.stop();
      await watch.stop();
      await app.close();
    },
  };
}

/** What a suite starts its replicas with. */
export interface HousekeepingReplicas {
  /** The ECR double of the suite, within tests and hooks. */
  ecr(): EcrDouble;
  /** Starts a replica, which stops after the test. By default, it has the rights of the suite. */
  start(config?: Record<string, unknown>, kubeconfigPath?: string): Promise<HousekeepingFixture>;
}

/**
 * Declares the hooks of a suite: an ECR double and a ServiceAccount, which the replicas of its tests use.
 * @param rules the rights of the ServiceAccount
 */
export function declareHousekeepingReplicas(
  apiServer: () => TestApiServer,
  rules: readonly unknown[],
): HousekeepingReplicas {
  let ecr: EcrDouble;
  let account: string;
  const running: HousekeepingFixture[] = [];
  before(async () => {
    ecr = await startEcr();
    account = await createAccountWithRules(apiServer(), rules);
  });
  after(() => ecr.stop());
  afterEach(async () => {
    ecr.heal();
    await Promise.all(running.splice(0).map((one) => one.stop()));
  });
  return {
    ecr: () => ecr,
    start: async (config = {}, kubeconfigPath = account) => {
      const one = await startHousekeepingFixture({ ecr, kubeconfigPath, config });
      running.push(one);
      return one;
    },
  };
}
