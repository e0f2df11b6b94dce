// Endpoints that the configuration names are trusted to exist, so that the limits for made-up regions do not apply to them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import { createTokens } from '../../src/app-tokens.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { defaultIdentity } from '../../src/ecr/identity.ts';
import { createRegistryResolver, type Registry } from '../../src/ecr/registry.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { getTokenError, startAwsTokensFixture } from './token-fixtures.ts';

const regions = Array.from({ length: 12 }, (_, index) => `eu-made-${index + 1}`);
const ecrHostIn = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;

/** The codes of failures, in order, while AWS resets every connection. */
async function getFailureCodes(settings: object, hosts: readonly string[]): Promise<string[]> {
  const aws = await startAwsTokensFixture();
  aws.double.fail('reset');
  const config = readConfig(stringify(settings), 'test');
  const resolveRegistry = createRegistryResolver(config);
  const ignore = () => undefined;
  const app = {
    config,
    environment: {},
    log: createJsonLog('silent', { write: ignore }),
    metrics: {
      countEcrCall: ignore,
      countSecretWrite: ignore,
      countDroppedHosts: ignore,
      countForgottenHosts: ignore,
    },
    configuredRegistries: [],
    isInSync: () => true,
    now: Date.now,
    monotonicNow: () => 0,
  };
  const tokens = createTokens(app, {
    secretCache: new SecretCache(resolveRegistry),
    resolveRegistry,
    requestToken: () => Promise.reject(new Error('not used')),
    onCall: ignore,
    identities: { resolve: () => ({ access: 'allowed', identity: defaultIdentity }) },
  });
  const registries = hosts.map((host): Registry => {
    const registry = resolveRegistry(host);
    assert.ok(registry, host);
    return registry;
  });
  const failures = await Promise.all(registries.map((one) => getTokenError(tokens.get('team', one))));
  tokens.close();
  await aws[Symbol.asyncDispose]();
  return failures.map(({ code }) => code);
}

describe('limits for endpoints that users may have made up', () => {
  it('apply to regions that only images name', async () => {
    const codes = await getFailureCodes({}, [...regions.map(ecrHostIn)]);
    assert.ok(codes.includes('too-many-regions'));
  });

  it('do not apply to the regions of configured hosts, under any host name', async () => {
    const hosts = Object.fromEntries(
      regions.map((region) => [`${region}.example.com`, { account: '123456789012', region }]),
    );
    for (const names of [Object.keys(hosts), regions.map(ecrHostIn)]) {
      assert.deepEqual(new Set(await getFailureCodes({ hosts }, names)), new Set(['network']));
    }
  });

  it('do not apply to the public registry', async () => {
    const madeUp = regions.slice(0, 10).map(ecrHostIn);
    const codes = await getFailureCodes({ publicRegistry: true }, [...madeUp, 'public.ecr.aws']);
    assert.equal(codes.at(-1), 'network');
  });
});
