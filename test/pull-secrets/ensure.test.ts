// Tests ensuring hosts in a pull Secret: requests sent, concurrency, late tokens and retries.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Token } from '../../src/ecr/token.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import type { SecretStore } from '../../src/pull-secrets/secret-store.ts';
import type { RequestMatcher } from '../doubles/api-server/api-faults.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { createReplica, fakeToken, hourMs, registryIn, start } from './pull-secret-fixtures.ts';

const writes: RequestMatcher = ({ resource, verb }) => resource.resource === 'secrets' && verb === 'patch';
const secretCalls: RequestMatcher = ({ resource }) => resource.resource === 'secrets';

describe('ensuring a pull Secret', () => {
  let cluster: ApiStandIn;
  before(async () => {
    cluster = await startApiStandIn();
  });
  after(() => cluster.stop());

  const replica = (name?: string, around?: (store: SecretStore) => SecretStore) =>
    createReplica(cluster, name, around);
  const stored = (namespace: string) => readPullSecret(cluster, namespace);
  const requests = () => cluster.requests.all.length;

  it('sends no request while all tokens are fresh', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    assert.equal(one.secrets.hasFreshTokens(namespace, [registry]), false);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    const before = requests();
    assert.equal(one.secrets.hasFreshTokens(namespace, [registry]), true);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    assert.equal(requests(), before);
  });

  it('is not idle while it waits for a token or for a retry', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    cluster.faults.failNext(500, { match: writes, count: 2 });
    const token = Promise.withResolvers<Token>();
    one.token = () => token.promise;
    const ensured = one.secrets.ensure(namespace, [registry]);
    let isSettled = false;
    const settled = one.secrets.waitUntilIdle().then(() => {
      isSettled = true;
    });
    token.resolve(fakeToken('one', one.now));
    await eventually('it waits for a retry', () => one.outcomes.length > 0);
    assert.equal(isSettled, false);
    await settled;
    await one.secrets.waitUntilIdle();
    assert.ok((await stored(namespace))?.auths[registry.host]);
    assert.deepEqual(await ensured, []);
    await one.secrets.waitUntilIdle();
  });

  it('reads the Secret while the cache may be out of date', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    await one.secrets.ensure(namespace, [registry]);
    await cluster.request('DELETE', `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets`);
    one.isInSync = false;
    assert.equal(one.secrets.hasFreshTokens(namespace, [registry]), false);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    assert.ok((await stored(namespace))?.auths[registry.host]);
  });

  it('admits a pod with a usable token that is no longer fresh, and renews it in place in the background', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    await one.secrets.ensure(namespace, [registry]);
    const before = await stored(namespace);
    one.now = start + 7 * hourMs;
    const { promise, resolve } = Promise.withResolvers<Token>();
    one.token = () => promise;
    assert.equal(one.secrets.hasFreshTokens(namespace, [registry]), false);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    assert.deepEqual(await stored(namespace), before);
    resolve(fakeToken('renewed', one.now));
    await eventually('the new token is stored', async () => {
      return (await stored(namespace))?.auths[registry.host]?.auth === btoa('AWS:renewed');
    });
    assert.equal((await stored(namespace))?.uid, before?.uid);
  });

  it('keeps a valid token that is no longer fresh if no new one is available', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    await one.secrets.ensure(namespace, [registry]);
    const before = await stored(namespace);
    one.now = start + 11.5 * hourMs;
    one.token = () => Promise.reject(new TokenError({ code: 'throttled', region: 'us-east-1' }));
    const unavailableHosts = await one.secrets.ensure(namespace, [registry]);
    assert.deepEqual(
      unavailableHosts.map(({ host, code, text }) => ({ host, code, text })),
      [{ host: registry.host, code: 'throttled', text: 'throttled' }],
    );
    assert.deepEqual(await stored(namespace), before);
  });

  it('stores a host whose token is late, and adds the token when it arrives', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    const { promise, resolve } = Promise.withResolvers<Token>();
    one.token = () => promise;
    const unavailableHosts = await one.secrets.ensure(namespace, [registry]);
    assert.deepEqual(
      unavailableHosts.map(({ code }) => code),
      ['pending'],
    );
    assert.deepEqual((await stored(namespace))?.hosts, { [registry.host]: null });
    resolve(fakeToken('late', start));
    await eventually('the token is stored', async () => (await stored(namespace))?.auths[registry.host]);
  });

  it('writes at most twice for any number of simultaneous pods', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const regions = ['us-east-1', 'us-east-2', 'us-west-1', 'us-west-2'];
    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        one.secrets.ensure(namespace, [registryIn(regions[index % regions.length] ?? '')]),
      ),
    );
    assert.equal(Object.keys((await stored(namespace))?.auths ?? {}).length, regions.length);
    assert.ok(one.outcomes.length <= 2, one.outcomes.join());
  });

  it('stores the union when replicas create and extend the Secret at the same time', async () => {
    const regions = ['us-east-1', 'us-east-2', 'us-west-1', 'us-west-2', 'eu-west-1', 'eu-west-2'];
    const replicas = ['a', 'b', 'c'].map((name) => replica(name));
    for (let round = 0; round < 10; round += 1) {
      const namespace = await cluster.createNamespace();
      const ensured = await Promise.all(
        regions.map((region, index) => replicas[index % 3]?.secrets.ensure(namespace, [registryIn(region)])),
      );
      assert.deepEqual(ensured.flat(), []);
      assert.equal(Object.keys((await stored(namespace))?.auths ?? {}).length, regions.length);
    }
    const outcomes = replicas.flatMap((one) => one.outcomes);
    assert.ok(outcomes.includes('conflict'), 'at least one replica lost a race');
  });

  for (const moment of ['create', 'update'] as const) {
    it(`loses no host when two replicas read the same Secret and then both ${moment}`, async () => {
      const namespace = await cluster.createNamespace();
      const regions = ['us-east-1', 'us-west-2'];
      if (moment === 'update') {
        await replica().secrets.ensure(namespace, [registryIn('eu-west-1')]);
        regions.push('eu-west-1');
      }
      const both = Promise.withResolvers<void>();
      let waiting = 0;
      const meet = async () => {
        waiting += 1;
        if (waiting === 2) {
          both.resolve();
        }
        await both.promise;
      };
      const meeting = (store: SecretStore): SecretStore => ({
        ...store,
        create: async (name, content) => {
          await (moment === 'create' && meet());
          return await store.create(name, content);
        },
        update: async (read, content) => {
          await (moment === 'update' && meet());
          return await store.update(read, content);
        },
      });
      const replicas = [replica('b', meeting), replica('c', meeting)];
      const ensured = await Promise.all(
        replicas.map((one, index) => one.secrets.ensure(namespace, [registryIn(regions[index] ?? '')])),
      );
      assert.deepEqual(ensured.flat(), []);
      const secret = await stored(namespace);
      const hosts = regions.map((region) => registryIn(region).host);
      assert.deepEqual(Object.keys(secret?.auths ?? {}).toSorted(), hosts.toSorted());
      assert.ok(replicas.some((one) => one.outcomes.includes('conflict')));
    });
  }

  for (const [what, status] of [
    ['conflicts', 409],
    ['fails', 500],
    ['is overloaded', 429],
  ] as const) {
    it(`retries when the API server ${what}`, async () => {
      const namespace = await cluster.createNamespace();
      const one = replica();
      cluster.faults.failNext(status, { count: 2, match: writes });
      assert.deepEqual(await one.secrets.ensure(namespace, [registryIn('us-east-1')]), []);
      assert.equal(one.outcomes.at(-1), 'created');
      assert.equal(one.outcomes.length, 3);
    });
  }

  it('reports that the API server refuses the request', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const { host } = registryIn('us-east-1');
    cluster.faults.failNext(403, { match: secretCalls });
    const [refused] = await one.secrets.ensure(namespace, [registryIn('us-east-1')]);
    assert.deepEqual(
      [refused?.host, refused?.code, refused?.text],
      [host, 'forbidden', 'API server: forbidden'],
    );
    assert.match(refused?.message ?? '', /^cannot read Secret .* check the RBAC rules of the ServiceAccount/);
    assert.deepEqual(
      await one.secrets.ensure(namespace, [registryIn('us-east-1')]),
      [],
      'the next pod retries',
    );
  });
});
