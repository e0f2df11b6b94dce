import { stringify } from 'yaml';
import { compose } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { registriesOf } from '../../src/ecr/registry.ts';
import { eventApi } from '../../src/kube/events.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import type { SecretView } from '../../src/pull-secrets/secret-cache.ts';
import type { Shortfall } from '../../src/pull-secrets/unavailable-host.ts';
import { news } from '../../src/renewal/host-events.ts';
import { Housekeeping } from '../../src/renewal/housekeeping.ts';
import type { Overdue } from '../../src/renewal/plan-types.ts';
import { Renewal } from '../../src/renewal/renewal-controller.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';

export interface MovedReplicaParts {
  readonly ecr: EcrDouble;
  readonly kubeconfigPath: string;
}

/** What renews and reports in one replica, in this process, on clocks that a test moves. Its backoff is the longest. */
export interface MovedReplica {
  readonly view: SecretView;
  readonly log: readonly Record<string, unknown>[];
  /** What admission does for a pod with images of these hosts. */
  admit(namespace: string, hosts: readonly string[]): Promise<Shortfall[]>;
  /** Moves both clocks, and does what is due then. */
  pass(ms: number): Promise<void>;
  overdue(namespace: string): Overdue[];
  stop(): Promise<void>;
}

export async function startMovedReplica({ ecr, kubeconfigPath }: MovedReplicaParts): Promise<MovedReplica> {
  const config = readConfig(stringify({ kubernetes: { kubeconfig: kubeconfigPath } }), 'test');
  const lines: Record<string, unknown>[] = [];
  const log = jsonLog('debug', { write: (line) => void lines.push(JSON.parse(line)) });
  let passed = 0;
  const now = () => Date.now() + passed;
  const steady = () => performance.now() + passed;
  const core = compose({
    config,
    environment: ecr.env(),
    configured: [],
    log,
    metrics: {
      ecrCall: () => undefined,
      secretWrite: () => undefined,
      hostsDropped: () => undefined,
      unstoredForgotten: () => undefined,
    },
    inSync: () => watch.inSync(),
    now,
    steady,
  });
  const watch = watchSecretMetadata({ config: core.cluster, name: config.secretName, sink: core.view });
  await watch.start();
  const clocks = () => ({ wall: now(), steady: steady() });
  const random = () => 0.999;
  const events = eventApi(core.cluster, 'ecr-pull-secrets');
  const renewal = new Renewal({
    view: core.view,
    secrets: core.secrets,
    unstored: core.housekeeping.unstored,
    rules: core.planRules(now()),
    now: clocks,
    random,
    concurrency: config.renewal.concurrency,
    writesPerSecond: 1_000,
    tickMs: 1_000,
    log,
    counted: () => undefined,
    told: news({
      secretName: config.secretName,
      view: core.view,
      createEvent: (event) => events.create(event),
      now,
      log,
    }),
  });
  const housekeeping = new Housekeeping({
    ...core.housekeeping,
    view: core.view,
    secrets: core.secrets,
    forgetAfterMs: config.secrets.forgetAfter,
    now: clocks,
    random,
    tickMs: 5_000,
    log,
    onFull: () => undefined,
  });
  return {
    view: core.view,
    log: lines,
    admit: async (namespace, hosts) => await core.secrets.ensure(namespace, registriesOf(hosts)),
    pass: async (ms) => {
      passed += ms;
      renewal.tick();
      housekeeping.tick();
      await Promise.all([renewal.settled(), housekeeping.settled()]);
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
