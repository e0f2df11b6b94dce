import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { parseEcrHost, type Registry } from '../../src/ecr/registry.ts';
import { Token } from '../../src/ecr/token.ts';
import type { TokenError } from '../../src/ecr/token-error.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { secretApi } from '../../src/kube/secrets.ts';
import { type SecretStore, secretStore } from '../../src/pull-secrets/apply.ts';
import { type PullSecrets, pullSecrets } from '../../src/pull-secrets/ensure.ts';
import { pullSecretRules } from '../../src/pull-secrets/host-needs.ts';
import { SecretView } from '../../src/pull-secrets/secret-cache.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import type { ApiStandIn } from '../doubles/api-server/api-stand-in.ts';

export const hour = 3_600_000;

/** An obviously fake token of 12 hours that was received at `issuedAt`, in ms. */
export function fakeToken(password: string, issuedAt: number, lifeMs = 12 * hour): Token {
  return new Token(btoa(`AWS:${password}`), { issuedAt, expiresAt: issuedAt + lifeMs });
}

/** When the clock of each replica begins, ms since the epoch. */
export const start = Date.UTC(2026, 10, 23, 12);
const freshness = { fraction: 0.5, floorMs: hour };

export function registryIn(region: string): Registry {
  const registry = parseEcrHost(`123456789012.dkr.ecr.${region}.amazonaws.com`);
  assert.ok(registry);
  return registry;
}

/** One replica's writer on the stand-in, through the real client, with a clock and tokens that do as told. */
export interface Replica {
  readonly secrets: PullSecrets;
  readonly outcomes: string[];
  now: number;
  inSync: boolean;
  token: (registry: Registry) => Promise<Token>;
  failure: TokenError | undefined;
  readonly view: SecretView;
}

/**
 * @param name tells replicas apart, in their tokens and as field managers
 * @param around what stands between the replica and its store
 */
export function replicaOn(
  { kubeconfigPath }: ApiStandIn,
  name = 'a',
  around = (store: SecretStore) => store,
): Replica {
  const config = loadKubeConfig({
    kubeconfigPath,
    requestTimeoutMs: 5_000,
    userAgent: 'test',
  });
  const outcomes: string[] = [];
  const view = new SecretView();
  const made: Replica = {
    outcomes,
    view,
    failure: undefined,
    now: start,
    inSync: true,
    token: async ({ region }) => fakeToken(`${name}-${region}-${made.now}`, made.now),
    secrets: pullSecrets({
      store: around(secretStore(secretApi(config), 'ecr-pull-secrets', name)),
      view,
      inSync: () => made.inSync,
      token: (_namespace, registry) => made.token(registry),
      newToken: (_namespace, registry) => made.token(registry),
      failure: () => made.failure,
      rules: pullSecretRules({
        freshness,
        maxHosts: 200,
        identityOf: () => undefined,
        now: () => made.now,
      }),
      patienceMs: 50,
      log: jsonLog('silent', new PassThrough()),
      counted: (outcome) => outcomes.push(outcome),
    }),
  };
  return made;
}
