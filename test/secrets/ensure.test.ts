import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { parseEcrHost, type Registry } from '../../src/images/registry.ts';
import { loadKubeConfig } from '../../src/kube/config.ts';
import { secretApi } from '../../src/kube/secrets.ts';
import { type PullSecrets, pullSecrets } from '../../src/secrets/ensure.ts';
import { pullSecretRules } from '../../src/secrets/rules.ts';
import { type SecretStore, secretStore } from '../../src/secrets/store.ts';
import { SecretView } from '../../src/secrets/view.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import { TokenError } from '../../src/tokens/failure.ts';
import type { Token } from '../../src/tokens/token.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-server.ts';
import type { Match } from '../doubles/api-server/faults.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import { fakeToken, hour } from './tokens.ts';

const start = Date.UTC(2026, 10, 23, 12);
const freshness = { fraction: 0.5, floorMs: hour };
const writes: Match = ({ resource, verb }) => resource.resource === 'secrets' && verb === 'patch';
const secretCalls: Match = ({ resource }) => resource.resource === 'secrets';

function registryIn(region: string): Registry {
  const registry = parseEcrHost(`123456789012.dkr.ecr.${region}.amazonaws.com`);
  assert.ok(registry);
  return registry;
}

/** One replica's writer on the stand-in, through the real client, with a clock and tokens that do as told. */
interface Replica {
  readonly secrets: PullSecrets;
  readonly outcomes: string[];
  now: number;
  inSync: boolean;
  token: (registry: Registry) => Promise<Token>;
  failure: TokenError | undefined;
  readonly view: SecretView;
}

describe('ensuring a pull Secret', () => {
  let cluster: ApiStandIn;
  before(async () => {
    cluster = await startApiStandIn();
  });
  after(() => cluster.stop());

  function replica(name = 'a', around = (store: SecretStore) => store): Replica {
    const config = loadKubeConfig({
      kubeconfigPath: cluster.kubeconfigPath,
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
        token: (registry) => made.token(registry),
        newToken: (registry) => made.token(registry),
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
  const stored = (namespace: string) => readPullSecret(cluster, namespace);
  const requests = () => cluster.requests.all.length;

  it('does nothing at all while everything is fresh', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    assert.equal(one.secrets.covers(namespace, [registry]), false);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    const before = requests();
    assert.equal(one.secrets.covers(namespace, [registry]), true);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    assert.equal(requests(), before);
  });

  it('asks the API server while the view may be stale', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    await one.secrets.ensure(namespace, [registry]);
    await cluster.request('DELETE', `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets`);
    one.inSync = false;
    assert.equal(one.secrets.covers(namespace, [registry]), false);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    assert.ok((await stored(namespace))?.auths[registry.host]);
  });

  it('lets a pod go on with a token that is half used, and renews it behind the answer, in place', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    await one.secrets.ensure(namespace, [registry]);
    const before = await stored(namespace);
    one.now = start + 7 * hour;
    const { promise, resolve } = Promise.withResolvers<Token>();
    one.token = () => promise;
    assert.equal(one.secrets.covers(namespace, [registry]), false);
    assert.deepEqual(await one.secrets.ensure(namespace, [registry]), []);
    assert.deepEqual(await stored(namespace), before);
    resolve(fakeToken('renewed', one.now));
    await eventually('the new token is there', async () => {
      return (await stored(namespace))?.auths[registry.host]?.auth === btoa('AWS:renewed');
    });
    assert.equal((await stored(namespace))?.uid, before?.uid);
  });

  it('keeps a living token that is half used when no new one can be had', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    await one.secrets.ensure(namespace, [registry]);
    const before = await stored(namespace);
    one.now = start + 11.5 * hour;
    one.token = () => Promise.reject(new TokenError({ code: 'throttled', region: 'us-east-1' }));
    const shortfalls = await one.secrets.ensure(namespace, [registry]);
    assert.deepEqual(
      shortfalls.map(({ host, code, text }) => ({ host, code, text })),
      [{ host: registry.host, code: 'throttled', text: 'throttled' }],
    );
    assert.deepEqual(await stored(namespace), before);
  });

  it('notes a host whose token is late, and adds the token when it comes', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const registry = registryIn('us-east-1');
    const { promise, resolve } = Promise.withResolvers<Token>();
    one.token = () => promise;
    const shortfalls = await one.secrets.ensure(namespace, [registry]);
    assert.deepEqual(
      shortfalls.map(({ code }) => code),
      ['pending'],
    );
    assert.deepEqual((await stored(namespace))?.hosts, { [registry.host]: null });
    resolve(fakeToken('late', start));
    await eventually('it is there', async () => (await stored(namespace))?.auths[registry.host]);
  });

  it('costs two writes at most for any number of pods at once', async () => {
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

  it('ends with the union when replicas create and extend the Secret at the same moment', async () => {
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
    assert.ok(outcomes.includes('conflict'), 'there was a race to lose');
  });

  for (const moment of ['create', 'update'] as const) {
    it(`loses no host when two replicas have read the same and then both ${moment}`, async () => {
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

  describe('renewing', () => {
    const registry = registryIn('us-east-1');
    const { host } = registry;

    it('stores a token that ends much later, in place, and writes nothing where there is none', async () => {
      const namespace = await cluster.createNamespace();
      const one = replica();
      await one.secrets.ensure(namespace, [registry]);
      const before = await stored(namespace);
      one.now = start + 5.5 * hour;
      assert.deepEqual(await one.secrets.renew(namespace, [registry]), []);
      const after = await stored(namespace);
      assert.equal(after?.uid, before?.uid);
      assert.equal(
        after?.hosts[host]?.expiresAt,
        new Date(one.now + 12 * hour).toISOString().replace('.000', ''),
      );
      const writes = one.outcomes.length;
      one.now += hour;
      assert.deepEqual(await one.secrets.renew(namespace, [registry]), []);
      assert.equal(one.outcomes.length, writes);
    });

    it('keeps what is there while there is no token, and says why', async () => {
      const namespace = await cluster.createNamespace();
      const one = replica();
      await one.secrets.ensure(namespace, [registry, registryIn('us-west-2')]);
      const before = await stored(namespace);
      one.now = start + 7 * hour;
      const denied = new TokenError({ code: 'AccessDeniedException', region: 'us-east-1' });
      const give = one.token;
      one.token = (wanted) => (wanted === registry ? Promise.reject(denied) : give(wanted));
      const shortfalls = await one.secrets.renew(namespace, [registry, registryIn('us-west-2')]);
      assert.deepEqual(
        shortfalls.map((one) => [one.host, one.code]),
        [[host, 'AccessDeniedException']],
      );
      const after = await stored(namespace);
      assert.deepEqual(after?.auths[host], before?.auths[host]);
      assert.notDeepEqual(
        after?.auths[registryIn('us-west-2').host],
        before?.auths[registryIn('us-west-2').host],
      );
    });

    it('says that an old token was given in place of a new one', async () => {
      const namespace = await cluster.createNamespace();
      const one = replica();
      await one.secrets.ensure(namespace, [registry]);
      one.now = start + 7 * hour;
      one.token = async () => fakeToken('old', start);
      one.failure = new TokenError({ code: 'throttled', region: 'us-east-1' });
      assert.deepEqual(
        (await one.secrets.renew(namespace, [registry])).map(({ code }) => code),
        ['throttled'],
      );
      one.failure = undefined;
      assert.deepEqual(
        (await one.secrets.renew(namespace, [registry])).map(({ code }) => code),
        ['not-fresh'],
      );
    });

    it('makes what somebody else changed ours again, though nothing is to be mended', async () => {
      const namespace = await cluster.createNamespace();
      const one = replica();
      await one.secrets.ensure(namespace, [registry]);
      const { body } = await cluster.request('GET', secretPath(namespace));
      const edited = structuredClone(body) as { data: Record<string, string> };
      const auths = (await stored(namespace))?.auths;
      const entry = { auth: btoa('somebody:else') };
      edited.data['.dockerconfigjson'] = btoa(JSON.stringify({ auths: { ...auths, 'a.example': entry } }));
      assert.equal((await cluster.request('PUT', secretPath(namespace), edited)).status, 200);
      assert.equal((await one.secrets.look(namespace))?.intact, false);
      assert.deepEqual(await one.secrets.renew(namespace, [registry]), []);
      assert.equal((await one.secrets.look(namespace))?.intact, true);
      assert.deepEqual((await stored(namespace))?.auths['a.example'], entry, 'what they added stays');
    });

    it('brings every host of a deleted Secret back, though the next pod names one only', async () => {
      const namespace = await cluster.createNamespace();
      const one = replica();
      await one.secrets.ensure(namespace, [registry, registryIn('us-west-2')]);
      await cluster.request('DELETE', secretPath(namespace));
      one.view.remove(namespace, '999999999');
      await one.secrets.ensure(namespace, [registry]);
      assert.deepEqual(Object.keys((await stored(namespace))?.hosts ?? {}), [
        host,
        registryIn('us-west-2').host,
      ]);
    });
  });

  for (const [what, status] of [
    ['conflicts', 409],
    ['fails', 500],
    ['is overloaded', 429],
  ] as const) {
    it(`tries again when the API server ${what}`, async () => {
      const namespace = await cluster.createNamespace();
      const one = replica();
      cluster.faults.failNext(status, { count: 2, match: writes });
      assert.deepEqual(await one.secrets.ensure(namespace, [registryIn('us-east-1')]), []);
      assert.equal(one.outcomes.at(-1), 'created');
      assert.equal(one.outcomes.length, 3);
    });
  }

  it('says so when the API server refuses', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const { host } = registryIn('us-east-1');
    cluster.faults.failNext(403, { match: secretCalls });
    const [refused] = await one.secrets.ensure(namespace, [registryIn('us-east-1')]);
    assert.deepEqual(
      [refused?.host, refused?.code, refused?.text],
      [host, 'forbidden', 'API server: forbidden'],
    );
    assert.match(refused?.message ?? '', /^cannot read Secret .* check the rules of our ServiceAccount/);
    assert.deepEqual(
      await one.secrets.ensure(namespace, [registryIn('us-east-1')]),
      [],
      'the next pod tries again',
    );
  });
});
