// One replica in this process, with real API calls and clocks that a test moves forward.
import { stringify } from 'yaml';
import { createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { resolveRegistries } from '../../src/ecr/registry.ts';
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
import { resolveRegistry } from '../support/registries.ts';

export interface ShiftedClockReplicaOptions {
  readonly ecr: EcrDouble;
  readonly kubeconfigPath: string;
}

/** The components that renew and report in one replica. Backoffs have their maximum jitter. */
export interface ShiftedClockReplica {
  readonly secretCache: SecretCache;
  readonly log: readonly Record<string, unknown>[];
  /** Does what the webhook does for a pod with images of these hosts. */
  admit(namespace: string, hosts: readonly string[]): Promise<UnavailableHost[]>;
  /** Moves both clocks, and waits until everything that is due then is done. */
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
  let passedMs = 0;
  const now = () => Date.now() + passedMs;
  const monotonicNow = () => performance.now() + passedMs;
  const app = createApp({
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
    monotonicNow,
  });
  const watch = watchSecretMetadata({
    config: app.cluster,
    name: config.secretName,
    handler: app.secretCache,
  });
  await watch.start();
  const clocks = () => ({ wallMs: now(), monotonicMs: monotonicNow() });
  const random = () => 0.999;
  const events = createEventApi(app.cluster, 'ecr-pull-secrets');
  const renewal = new RenewalController({
    secretCache: app.secretCache,
    secrets: app.secrets,
    resolveRegistry: app.resolveRegistry,
    unstored: app.housekeeping.unstored,
    rules: app.planRules,
    now: clocks,
    random,
    concurrency: config.renewal.concurrency,
    writesPerSecond: 1_000,
    tickMs: 1_000,
    log,
    countRenewal: () => undefined,
    onFailureReport: createHostEventReporter({
      secretName: config.secretName,
      secretCache: app.secretCache,
      createEvent: (event) => events.create(event),
      now,
      log,
    }),
  });
  const housekeeping = new Housekeeping({
    ...app.housekeeping,
    secretCache: app.secretCache,
    secrets: app.secrets,
    resolveRegistry: app.resolveRegistry,
    forgetAfterMs: config.secrets.forgetAfter,
    now: clocks,
    random,
    tickMs: 5_000,
    log,
    onSecretFull: () => undefined,
  });
  return {
    secretCache: app.secretCache,
    log: lines,
    admit: async (namespace, hosts) =>
      await app.secrets.ensure(namespace, resolveRegistries(hosts, resolveRegistry)),
    pass: async (ms) => {
      passedMs += ms;
      renewal.tick();
      housekeeping.tick();
      await Promise.all([renewal.waitUntilIdle(), housekeeping.waitUntilIdle()]);
    },
    overdue: (namespace) => renewal.state().overdue.filter((host) => host.namespace === namespace),
    stop: async () => {
      await housekeeping.stop();
      await renewal.stop();
      await watch.stop();
      await app.close();
    },
  };
}
