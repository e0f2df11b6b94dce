import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Life } from '../../src/ecr/token-policy.ts';

import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { dockerConfigKey } from '../../src/pull-secrets/ownership.ts';
import { SecretView } from '../../src/pull-secrets/secret-cache.ts';
import { Renewal, type RenewalParts } from '../../src/renewal/renewal-controller.ts';
import { jsonLog } from '../../src/telemetry/log.ts';

export const hour = 3_600_000;
const start = Date.UTC(2026, 10, 23, 12);
export const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

type Renew = RenewalParts['secrets']['renew'];

/** A renewal on a clock that only the test moves, over namespaces whose tokens are issued at `start`. */
export function setUp(namespaces: readonly string[], renew: Renew, changes: Partial<RenewalParts> = {}) {
  const clock = { wall: start, steady: 0 };
  const view = new SecretView(() => clock.steady);
  let version = 1;
  const put = (namespace: string, life: Life | undefined, label: string = productName) => {
    version += 1;
    view.set({
      namespace,
      uid: `uid-${namespace}`,
      resourceVersion: String(version),
      labels: { [managedByLabel]: label },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, life]])) },
      owners: [{ manager: productName, data: [dockerConfigKey], annotations: [hostsAnnotation] }],
    });
  };
  const written = (namespace: string) =>
    put(namespace, { issuedAt: clock.wall, expiresAt: clock.wall + 12 * hour });
  for (const namespace of namespaces) {
    written(namespace);
  }
  const rules: RenewalParts['rules'] = {
    replica: 'a',
    freshness: { fraction: 0.5, floorMs: hour },
    startedAt: start,
    identityOf: () => undefined,
    remembered: () => undefined,
    regionTrouble: () => undefined,
  };
  const stream = new PassThrough();
  const counts: string[] = [];
  let plans = 0;
  const renewal = new Renewal({
    view,
    secrets: { renew },
    rules,
    now: () => ({ ...clock }),
    random: () => 0,
    concurrency: 4,
    writesPerSecond: 100_000,
    tickMs: 1000,
    log: jsonLog('info', stream),
    counted: (reason, outcome) => counts.push(`${reason} ${outcome}`),
    told: () => {
      plans += 1;
    },
    ...changes,
  });
  const move = (ms: number) => {
    clock.wall += ms;
    clock.steady += ms;
    renewal.tick();
  };
  const pass = async (ms: number) => {
    move(ms);
    await renewal.settled();
  };
  const logged = async () => {
    stream.end();
    return (await text(stream)).split('\n').filter((line) => line !== '');
  };
  return {
    ...{ renewal, rules, view, clock, written, counts, move, pass, logged },
    /** The namespace's Secret says that its token is of 12 hours and expires after so many ms. */
    endsIn: (namespace: string, ms: number) =>
      put(namespace, { issuedAt: clock.wall + ms - 12 * hour, expiresAt: clock.wall + ms }),
    /** Another writer changes the label of the namespace's Secret, and nothing else. */
    relabelled: (namespace: string) => put(namespace, view.get(namespace)?.hosts.get(host), 'Helm'),
    /** The namespace's Secret names the host, and has no token for it. */
    waits: (namespace: string) => put(namespace, undefined),
    /** How often it has planned. */
    get plans() {
      return plans;
    },
  };
}
