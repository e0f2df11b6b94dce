import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Validity } from '../../src/ecr/token-policy.ts';

import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { dockerConfigKey } from '../../src/pull-secrets/ownership.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { RenewalController, type RenewalDependencies } from '../../src/renewal/renewal-controller.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';

export const hourMs = 3_600_000;
const start = Date.UTC(2026, 10, 23, 12);
export const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

type Renew = RenewalDependencies['secrets']['renew'];

/** A renewal on a clock that only the test moves, over namespaces whose tokens are issued at `start`. */
export function createRenewalFixture(
  namespaces: readonly string[],
  renew: Renew,
  changes: Partial<RenewalDependencies> = {},
) {
  const clock = { wallMs: start, monotonicMs: 0 };
  const secretCache = new SecretCache(() => clock.monotonicMs);
  let version = 1;
  const put = (namespace: string, life: Validity | undefined, label: string = productName) => {
    version += 1;
    secretCache.set({
      namespace,
      uid: `uid-${namespace}`,
      resourceVersion: String(version),
      labels: { [managedByLabel]: label },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, life]])) },
      fieldOwners: [{ manager: productName, data: [dockerConfigKey], annotations: [hostsAnnotation] }],
    });
  };
  const written = (namespace: string) =>
    put(namespace, { issuedAt: clock.wallMs, expiresAt: clock.wallMs + 12 * hourMs });
  for (const namespace of namespaces) {
    written(namespace);
  }
  const rules: RenewalDependencies['rules'] = {
    replica: 'a',
    freshness: { fraction: 0.5, floorMs: hourMs },
    startedAt: start,
    identityOf: () => undefined,
    cachedToken: () => undefined,
    regionFailure: () => undefined,
  };
  const stream = new PassThrough();
  const counts: string[] = [];
  let plans = 0;
  const renewal = new RenewalController({
    secretCache,
    secrets: { renew },
    rules,
    now: () => ({ ...clock }),
    random: () => 0,
    concurrency: 4,
    writesPerSecond: 100_000,
    tickMs: 1000,
    log: createJsonLog('info', stream),
    countRenewal: (reason, outcome) => counts.push(`${reason} ${outcome}`),
    onFailureReport: () => {
      plans += 1;
    },
    ...changes,
  });
  const move = (ms: number) => {
    clock.wallMs += ms;
    clock.monotonicMs += ms;
    renewal.tick();
  };
  const pass = async (ms: number) => {
    move(ms);
    await renewal.waitUntilIdle();
  };
  const logged = async () => {
    stream.end();
    return (await text(stream)).split('\n').filter((line) => line !== '');
  };
  return {
    ...{ renewal, rules, secretCache, clock, written, counts, move, pass, logged },
    /** The namespace's Secret says that its token is of 12 hours and expires after so many ms. */
    endsIn: (namespace: string, ms: number) =>
      put(namespace, { issuedAt: clock.wallMs + ms - 12 * hourMs, expiresAt: clock.wallMs + ms }),
    /** Another writer changes the label of the namespace's Secret, and nothing else. */
    relabelled: (namespace: string) => put(namespace, secretCache.get(namespace)?.hosts.get(host), 'Helm'),
    /** The namespace's Secret names the host, and has no token for it. */
    waits: (namespace: string) => put(namespace, undefined),
    /** How often it has planned. */
    get plans() {
      return plans;
    },
  };
}
