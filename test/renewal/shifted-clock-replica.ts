import { stringify } from 'yaml';
import { createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { parseEcrHosts } from '../../src/ecr/registry.ts';
import { createEventApi } from '../../src/kube/events.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import type { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import type { UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { createHostEventReporter } from '../../src/renewal/host-events.ts';
import { Housekeeping } from '../../src/renewal/housekeeping.ts';
import type { Overdue } from '../../src/renewal/plan-types.ts';
import { RenewalController } from '../../src/renewal/renewal-controller.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';

export interface ShiftedClockReplicaOptions {
  readonly ecr: EcrDouble;
  readonly kubeconfigPath: string;
}

/** What renews and reports in one replica, in this process, on clocks that a test moves. Its backoff is the longest. */
export interface ShiftedClockReplica {
  readonly secretCache: SecretCache;
  readonly log: readonly Record<string, unknown>[];
  /** What admission does for a pod with images of these hosts. */
  admit(namespace: string, hosts: readonly string[]): Promise<UnavailableHost[]>;
  /** Moves both clocks, and does what is due then. */
  pass(ms: number): Promise<void>;
  overdue(namespace: string): Overdue[];
  stop(): Promise<void>;
}

export async function startShiftedClockReplica({
  ecr,
  kubeconfigPath,
}: ShiftedClockReplicaOptions): Promise<ShiftedClockReplica> {
  const config = readConfig(stringify({ kubernetes: { kubeconfig: kubeconfigPath } }), 'test');
  const lines: Record<string, unknown>[] = [];
  const log = createJsonLog('debug', { write: (line) => void lines.push(JSON.parse(line)) });
  let passed = 0;
  const now = () => Date.now() + passed;
  const monotonicMs = () => performance.now() + passed;
  const core = createApp({
    config,
    environment: ecr.env(),
    configuredRegistries: [],
    log,
    metrics: {
      countEcrCall: () => undefined,
      countSecretWrite: () => undefined,
      countDroppedHosts: () => undefined,
      countForgottenHosts: () => undefined,
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
  const clocks = () => ({ wallMs: now(), monotonicMs: monotonicMs() });
  const random = () => 0.999;
  const events = createEventApi(core.cluster, 'ecr-pull-secrets');
  const renewal = new RenewalController({
    secretCache: core.secretCache,
    secrets: core.secrets,
    unstored: core.housekeeping.unstored,
    rules: core.planRules(now()),
    now: clocks,
    random,
    concurrency: config.renewal.concurrency,
    writesPerSecond: 1_000,
    tickMs: 1_000,
    log,
    countRenewal: () => undefined,
    onFailureReport: createHostEventReporter({
      secretName: config.secretName,
      secretCache: core.secretCache,
      createEvent: (event) => events.create(event),
      now,
      log,
    }),
  });
  const housekeeping = new Housekeeping({
    ...core.housekeeping,
    secretCache: core.secretCache,
    secrets: core.secrets,
    forgetAfterMs: config.secrets.forgetAfter,
    now: clocks,
    random,
    tickMs: 5_000,
    log,
    onSecretFull: () => undefined,
  });
  return {
    secretCache: core.secretCache,
    log: lines,
    admit: async (namespace, hosts) => await core.secrets.ensure(namespace, parseEcrHosts(hosts)),
    pass: async (ms) => {
      passed += ms;
      renewal.tick();
      housekeeping.tick();
      await Promise.all([renewal.waitUntilIdle(), housekeeping.waitUntilIdle()]);
    },
    overdue: (namespace) => renewal.state().overdue.filter((one) => one.namespace === namespace),
    stop: async () => {
      await housekeeping.stop();
      await renewal.stop();
      await watch.stop();
      await core.close();
    },
  };
}
