import { stringify } from 'yaml';
import { type App, createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { resolveRegistries } from '../../src/ecr/registry.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import type { MissingHosts } from '../../src/pull-secrets/missing-hosts.ts';
import { type FullSecret, Housekeeping } from '../../src/renewal/housekeeping.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { resolveRegistry } from '../support/registries.ts';

export interface HousekeepingFixtureOptions {
  readonly ecr: EcrDouble;
  readonly kubeconfigPath: string;
  readonly config: Record<string, unknown>;
}

/** The parts of one replica that add hosts to Secrets and take them out, in this process, on clocks that a test moves. */
export interface HousekeepingFixture extends Pick<App, 'secrets' | 'secretCache'> {
  readonly missing: MissingHosts;
  readonly log: readonly Record<string, unknown>[];
  /** `NAMESPACE REASON NUMBER` for each write that took hosts out. */
  readonly dropped: readonly string[];
  readonly full: readonly FullSecret[];
  /** Moves both clocks. */
  advanceClocks(ms: number): void;
  /** Forgets hosts of one namespace, whether it is due or not. */
  forget(namespace: string): Promise<void>;
  /** One round of housekeeping. */
  round(): Promise<void>;
  /** Renews all hosts that the replica knows of, in all namespaces. */
  renewNow(): Promise<void>;
  /** Calls of `renewNow` that have not ended. */
  countRenewing(): number;
  stop(): Promise<void>;
}

export async function startHousekeepingFixture(
  parts: HousekeepingFixtureOptions,
): Promise<HousekeepingFixture> {
  const settings = { ...parts.config, kubernetes: { kubeconfig: parts.kubeconfigPath } };
  const config = readConfig(stringify(settings), 'test');
  const log: Record<string, unknown>[] = [];
  const dropped: string[] = [];
  const full: FullSecret[] = [];
  let passed = 0;
  let asking = 0;
  const monotonicMs = () => performance.now() + passed;
  const lines = createJsonLog('debug', { write: (line) => void log.push(JSON.parse(line)) });
  const now = () => Date.now() + passed;
  const core = createApp({
    config,
    environment: parts.ecr.env(),
    configuredRegistries: resolveRegistries(config.provisioning.registries, resolveRegistry),
    log: lines,
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
    config: core.cluster,
    name: config.secretName,
    handler: core.secretCache,
  });
  await watch.start();
  const housekeeping = new Housekeeping({
    ...core.housekeeping,
    secretCache: core.secretCache,
    resolveRegistry: core.resolveRegistry,
    secrets: core.secrets,
    forgetAfterMs: config.secrets.forgetAfter,
    now: () => ({ wallMs: now(), monotonicMs: monotonicMs() }),
    random: () => 0,
    tickMs: 1_000,
    log: lines,
    onSecretFull: (secret) => full.push(secret),
  });
  return {
    ...{
      secrets: core.secrets,
      secretCache: core.secretCache,
      missing: core.housekeeping.missing,
      log,
      dropped,
      full,
    },
    advanceClocks: (ms) => {
      passed += ms;
    },
    forget: core.housekeeping.forgetHosts,
    round: async () => {
      housekeeping.tick();
      await housekeeping.waitUntilIdle();
    },
    renewNow: async () => {
      asking += 1;
      const known = [...core.secretCache.entries()].filter(([, { isManaged }]) => isManaged);
      await Promise.all(
        known.map(([namespace, { hosts }]) =>
          core.secrets.renew(namespace, resolveRegistries(hosts.keys(), resolveRegistry)),
        ),
      );
      asking -= 1;
    },
    countRenewing: () => asking,
    stop: async () => {
      await housekeeping.stop();
      await watch.stop();
      await core.close();
    },
  };
}
