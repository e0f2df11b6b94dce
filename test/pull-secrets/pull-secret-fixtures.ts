import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import type { Registry } from '../../src/ecr/registry.ts';
import { Token } from '../../src/ecr/token.ts';
import type { TokenError } from '../../src/ecr/token-error.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { createSecretStore, type SecretStore } from '../../src/pull-secrets/apply.ts';
import { createPullSecrets, type PullSecrets } from '../../src/pull-secrets/ensure.ts';
import { createTokenRules } from '../../src/pull-secrets/host-needs.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { ApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { resolveRegistry } from '../support/registries.ts';

export const hourMs = 3_600_000;

/** An obviously fake token of 12 hours that was received at `issuedAt`, in ms. */
export function fakeToken(password: string, issuedAt: number, lifeMs = 12 * hourMs): Token {
  return new Token(btoa(`AWS:${password}`), { issuedAt, expiresAt: issuedAt + lifeMs });
}

/** When the clock of each replica begins, ms since the epoch. */
export const start = Date.UTC(2026, 10, 23, 12);
const freshness = { fraction: 0.5, floorMs: hourMs };

export function registryIn(region: string): Registry {
  const registry = resolveRegistry(`123456789012.dkr.ecr.${region}.amazonaws.com`);
  assert.ok(registry);
  return registry;
}

/** One replica's writer on the stand-in, through the real client, with a clock and tokens that do as told. */
export interface Replica {
  readonly secrets: PullSecrets;
  readonly outcomes: string[];
  now: number;
  isInSync: boolean;
  token: (registry: Registry) => Promise<Token>;
  failure: TokenError | undefined;
  readonly secretCache: SecretCache;
}

/**
 * @param name tells replicas apart, in their tokens and as field managers
 * @param around what stands between the replica and its store
 */
export function createReplica(
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
  const secretCache = new SecretCache(resolveRegistry);
  const made: Replica = {
    outcomes,
    secretCache,
    failure: undefined,
    now: start,
    isInSync: true,
    token: async ({ region }) => fakeToken(`${name}-${region}-${made.now}`, made.now),
    secrets: createPullSecrets({
      store: around(createSecretStore(createSecretApi(config), 'ecr-pull-secrets', name)),
      secretCache,
      resolveRegistry,
      hasSynced: () => made.isInSync,
      getToken: (_namespace, registry) => made.token(registry),
      fetchNewToken: (_namespace, registry) => made.token(registry),
      lastError: () => made.failure,
      rules: createTokenRules({
        freshness,
        maxHosts: 200,
        identityOf: () => undefined,
        now: () => made.now,
      }),
      maxWaitMs: 50,
      log: createJsonLog('silent', new PassThrough()),
      countWrite: (outcome) => outcomes.push(outcome),
    }),
  };
  return made;
}
