// Fake tokens, registries, and replicas that write pull Secrets on the API stand-in, for tests of pull-secrets.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { defaultDecision, type HostIdentityResolver } from '../../src/ecr/identity.ts';
import type { Registry } from '../../src/ecr/registry.ts';
import { Token } from '../../src/ecr/token.ts';
import type { TokenError } from '../../src/ecr/token-error.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { createPullSecrets, type PullSecrets } from '../../src/pull-secrets/ensure.ts';
import { createTokenRules } from '../../src/pull-secrets/host-needs.ts';
import { noOperatorMetadata } from '../../src/pull-secrets/operator-metadata.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { createSecretStore, type SecretStore } from '../../src/pull-secrets/secret-store.ts';
import { UnstoredHosts } from '../../src/pull-secrets/unstored-hosts.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { ApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { resolveRegistry } from '../support/registries.ts';

export const hourMs = 3_600_000;

/**
 * An obviously fake token that was issued at `issuedAt`, in ms, and is valid for 12 hours by default.
 * @param identity fingerprint of the identity that fetched it; the process's own by default
 */
export function fakeToken(
  password: string,
  issuedAt: number,
  lifetimeMs = 12 * hourMs,
  identity?: string,
): Token {
  return new Token(btoa(`AWS:${password}`), { issuedAt, expiresAt: issuedAt + lifetimeMs }, identity);
}

/** Where the clock of each replica starts, in ms since the epoch. */
export const start = Date.UTC(2026, 10, 23, 12);
const freshness = { fraction: 0.5, floorMs: hourMs };

export function registryIn(region: string): Registry {
  const registry = resolveRegistry(`123456789012.dkr.ecr.${region}.amazonaws.com`);
  assert.ok(registry);
  return registry;
}

/** One replica's writer with the real client on the stand-in, and with a clock and tokens that the test controls. */
export interface Replica {
  readonly secrets: PullSecrets;
  readonly outcomes: string[];
  now: number;
  isInSync: boolean;
  token: (registry: Registry) => Promise<Token>;
  failure: TokenError | undefined;
  identityOf: HostIdentityResolver;
  /** `NAMESPACE HOST: RULE` for each host that was removed because a rule denies it. */
  readonly denied: string[];
  readonly unstored: UnstoredHosts;
  readonly secretCache: SecretCache;
}

/**
 * @param name identifies the replica in its tokens and as a field manager
 * @param around wraps the replica's store
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
  const denied: string[] = [];
  const secretCache = new SecretCache(resolveRegistry);
  const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: () => replica.now });
  const replica: Replica = {
    ...{ outcomes, secretCache, denied, unstored, identityOf: () => defaultDecision },
    failure: undefined,
    now: start,
    isInSync: true,
    token: async ({ region }) => fakeToken(`${name}-${region}-${replica.now}`, replica.now),
    secrets: createPullSecrets({
      store: around(createSecretStore(createSecretApi(config), 'ecr-pull-secrets', name, noOperatorMetadata)),
      secretCache,
      resolveRegistry,
      hasSynced: () => replica.isInSync,
      getToken: (_namespace, registry) => replica.token(registry),
      fetchNewToken: (_namespace, registry) => replica.token(registry),
      lastError: () => replica.failure,
      rules: createTokenRules({
        freshness,
        maxHosts: 200,
        identityOf: (namespace, host) => replica.identityOf(namespace, host),
        now: () => replica.now,
      }),
      unstored,
      maxWaitMs: 50,
      log: createJsonLog('silent', new PassThrough()),
      countWrite: (outcome) => outcomes.push(outcome),
      onDenied: (namespace, hosts) =>
        denied.push(...hosts.map(({ host, rule }) => `${namespace} ${host}: ${rule}`)),
    }),
  };
  return replica;
}
