import { stringify } from 'yaml';
import { type Core, compose } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { registriesOf } from '../../src/ecr/registry.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import type { MissingHosts } from '../../src/pull-secrets/missing-hosts.ts';
import { type FullSecret, Housekeeping } from '../../src/renewal/housekeeping.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';

export interface HostKeeperParts {
  readonly ecr: EcrDouble;
  readonly kubeconfigPath: string;
  readonly config: Record<string, unknown>;
}

/** The parts of one replica that add hosts to Secrets and take them out, in this process, on clocks that a test moves. */
export interface HostKeeper extends Pick<Core, 'secrets' | 'view'> {
  readonly missing: MissingHosts;
  readonly log: readonly Record<string, unknown>[];
  /** `NAMESPACE REASON NUMBER` for each write that took hosts out. */
  readonly dropped: readonly string[];
  readonly full: readonly FullSecret[];
  /** Moves both clocks. */
  pass(ms: number): void;
  /** Forgets hosts of one namespace, whether it is due or not. */
  forget(namespace: string): Promise<void>;
  /** One round of housekeeping. */
  round(): Promise<void>;
  /** Renews all hosts that the replica knows of, in all namespaces. */
  renewNow(): Promise<void>;
  /** Calls of `renewNow` that have not ended. */
  asking(): number;
  stop(): Promise<void>;
}

export async function startHostKeeper(parts: HostKeeperParts): Promise<HostKeeper> {
  const settings = { ...parts.config, kubernetes: { kubeconfig: parts.kubeconfigPath } };
  const config = readConfig(stringify(settings), 'test');
  const log: Record<string, unknown>[] = [];
  const dropped: string[] = [];
  const full: FullSecret[] = [];
  let passed = 0;
  let asking = 0;
  const steady = () => performance.now() + passed;
  const lines = jsonLog('debug', { write: (line) => void log.push(JSON.parse(line)) });
  const now = () => Date.now() + passed;
  const core = compose({
    config,
    environment: parts.ecr.env(),
    configured: registriesOf(config.provisioning.registries),
    log: lines,
    metrics: {
      ecrCall: () => undefined,
      secretWrite: () => undefined,
      unstoredForgotten: () => undefined,
      hostsDropped: (reason, hosts) => {
        const namespace = log.findLast(({ msg }) => msg === 'hosts dropped from the pull Secret')?.[
          'namespace'
        ];
        dropped.push(`${namespace} ${reason} ${hosts}`);
      },
    },
    inSync: () => watch.inSync(),
    now,
    steady,
  });
  const watch = watchSecretMetadata({ config: core.cluster, name: config.secretName, sink: core.view });
  await watch.start();
  const housekeeping = new Housekeeping({
    ...core.housekeeping,
    view: core.view,
    secrets: core.secrets,
    forgetAfterMs: config.secrets.forgetAfter,
    now: () => ({ wall: now(), steady: steady() }),
    random: () => 0,
    tickMs: 1_000,
    log: lines,
    onFull: (secret) => full.push(secret),
  });
  return {
    ...{ secrets: core.secrets, view: core.view, missing: core.housekeeping.missing, log, dropped, full },
    pass: (ms) => {
      passed += ms;
    },
    forget: core.housekeeping.forget,
    round: async () => {
      housekeeping.tick();
      await housekeeping.settled();
    },
    renewNow: async () => {
      asking += 1;
      const known = [...core.view.entries()].filter(([, { ours }]) => ours);
      await Promise.all(
        known.map(([namespace, { hosts }]) => core.secrets.renew(namespace, registriesOf(hosts.keys()))),
      );
      asking -= 1;
    },
    asking: () => asking,
    stop: async () => {
      await housekeeping.stop();
      await watch.stop();
      await core.close();
    },
  };
}
