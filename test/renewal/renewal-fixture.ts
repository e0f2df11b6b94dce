// A renewal controller on a clock that the test moves.
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { defaultDecision } from '../../src/ecr/identity.ts';
import type { Validity } from '../../src/ecr/token-policy.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { dockerConfigKey } from '../../src/pull-secrets/ownership.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { RenewalController, type RenewalDependencies } from '../../src/renewal/renewal-controller.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { resolveRegistry } from '../support/registries.ts';

export const hourMs = 3_600_000;
const start = Date.UTC(2026, 10, 23, 12);
export const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

type Renew = RenewalDependencies['secrets']['renew'];

/** Creates a renewal controller for namespaces with Secrets whose tokens were issued at `start`. */
export function createRenewalFixture(
  namespaces: readonly string[],
  renew: Renew,
  changes: Partial<RenewalDependencies> = {},
) {
  const clock = { wallMs: start, monotonicMs: 0 };
  const secretCache = new SecretCache(resolveRegistry, () => clock.monotonicMs);
  let version = 1;
  const putSecret = (namespace: string, lifetime: Validity | undefined, label: string = productName) => {
    version += 1;
    secretCache.set({
      namespace,
      uid: `uid-${namespace}`,
      resourceVersion: String(version),
      labels: { [managedByLabel]: label },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, lifetime]])) },
      fieldOwners: [{ manager: productName, data: [dockerConfigKey], annotations: [hostsAnnotation] }],
    });
  };
  const writeToken = (namespace: string) =>
    putSecret(namespace, { issuedAt: clock.wallMs, expiresAt: clock.wallMs + 12 * hourMs });
  for (const namespace of namespaces) {
    writeToken(namespace);
  }
  const rules: RenewalDependencies['rules'] = {
    replica: 'a',
    freshness: { fraction: 0.5, floorMs: hourMs },
    startedAt: start,
    identityOf: () => defaultDecision,
    identityChangedAt: () => undefined,
    cachedToken: () => undefined,
    regionFailure: () => undefined,
  };
  const stream = new PassThrough();
  const counts: string[] = [];
  let plans = 0;
  const renewal = new RenewalController({
    secretCache,
    resolveRegistry,
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
  const readLog = async () => {
    stream.end();
    return (await text(stream)).split('\n').filter((line) => line !== '');
  };
  return {
    ...{ renewal, rules, secretCache, clock, writeToken, counts, move, pass, readLog },
    /** Writes a token with a lifetime of 12 hours that expires in `ms`. */
    expireIn: (namespace: string, ms: number) =>
      putSecret(namespace, { issuedAt: clock.wallMs + ms - 12 * hourMs, expiresAt: clock.wallMs + ms }),
    /** Changes only the label of the namespace's Secret, as another writer. */
    relabel: (namespace: string) => putSecret(namespace, secretCache.get(namespace)?.hosts.get(host), 'Helm'),
    /** Writes a Secret that contains the host without a token. */
    removeToken: (namespace: string) => putSecret(namespace, undefined),
    /** Number of plans so far. */
    get plans() {
      return plans;
    },
  };
}
