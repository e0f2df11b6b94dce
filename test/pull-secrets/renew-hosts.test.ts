// Tests what a renewal writes: later tokens in place, restored hosts, and nothing if no token is available.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { defaultDecision } from '../../src/ecr/identity.ts';
import type { Token } from '../../src/ecr/token.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { createPullSecrets } from '../../src/pull-secrets/ensure.ts';
import { createTokenRules } from '../../src/pull-secrets/host-needs.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { runOnce } from '../commands/run-command.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import { resolveRegistry } from '../support/registries.ts';
import { createReplica, fakeToken, hourMs, registryIn, start } from './pull-secret-fixtures.ts';

const namespace = 'team-a';
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const terminating = new KubeError({ code: 'namespace-terminating', operation: 'apply Secret' });

/** A replica with a cached token that is 4 h old, and with Secrets of a namespace that is being deleted. */
function setUp() {
  const now = () => start + 4 * hourMs;
  const secretCache = new SecretCache(resolveRegistry);
  const calls: string[] = [];
  const secrets = createPullSecrets({
    resolveRegistry,
    store: {
      name: 'ecr-pull-secrets',
      read: async () => undefined,
      create: () => Promise.reject(terminating),
      update: () => assert.fail('there is nothing to update'),
    },
    secretCache,
    hasSynced: () => true,
    getToken: async () => {
      calls.push('getToken');
      return fakeToken('remembered', start);
    },
    fetchNewToken: async () => {
      calls.push('fetchNewToken');
      return fakeToken('new', now());
    },
    lastError: () => undefined,
    rules: createTokenRules({
      freshness: { fraction: 0.5, floorMs: hourMs },
      maxHosts: 200,
      identityOf: () => defaultDecision,
      now,
    }),
    maxWaitMs: 50,
    log: createJsonLog('silent', new PassThrough()),
    countWrite: () => undefined,
  });
  const observe = (lifetime: { issuedAt: number; expiresAt: number } | undefined) =>
    secretCache.set({
      namespace,
      uid: 'a',
      resourceVersion: '1',
      labels: { [managedByLabel]: productName },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, lifetime]])) },
      fieldOwners: [],
    });
  const renew = async () => {
    const registry = resolveRegistry(host);
    assert.ok(registry);
    return (await secrets.renew(namespace, [registry])).map(({ code }) => code);
  };
  return { secretCache, observe, renew, calls };
}

/** A new token in a replica's cache causes a write in every namespace of the region, so an unneeded one is expensive. */
describe('a renewal', () => {
  const lifetime = { issuedAt: start, expiresAt: start + 12 * hourMs };

  it('uses any fresh token for a Secret that was deleted with its namespace, and for a host without a token', async () => {
    const { secretCache, observe, renew, calls } = setUp();
    observe(lifetime);
    secretCache.remove(namespace, '2');
    assert.deepEqual(await renew(), ['namespace-terminating']);
    observe(undefined);
    await renew();
    assert.deepEqual(calls, ['getToken', 'getToken']);
  });

  it('fetches a new token to replace an old one', async () => {
    const { observe, renew, calls } = setUp();
    observe(lifetime);
    await renew();
    assert.deepEqual(calls, ['fetchNewToken']);
  });
});

describe('renewing a pull Secret', () => {
  let cluster: ApiStandIn;
  before(async () => {
    cluster = await startApiStandIn();
  });
  after(() => cluster.stop());
  const replica = () => createReplica(cluster);
  const stored = (namespace: string) => readPullSecret(cluster, namespace);
  const registry = registryIn('us-east-1');
  const { host } = registry;

  it('stores a token that expires much later, in place, and writes nothing without one', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    await one.secrets.ensure(namespace, [registry]);
    const before = await stored(namespace);
    one.now = start + 5.5 * hourMs;
    assert.deepEqual(await one.secrets.renew(namespace, [registry]), []);
    const after = await stored(namespace);
    assert.equal(after?.uid, before?.uid);
    assert.equal(
      after?.hosts[host]?.expiresAt,
      new Date(one.now + 12 * hourMs).toISOString().replace('.000', ''),
    );
    const writes = one.outcomes.length;
    one.now += hourMs;
    assert.deepEqual(await one.secrets.renew(namespace, [registry]), []);
    assert.equal(one.outcomes.length, writes);
  });

  it('keeps the stored token if no new one is available, and reports why', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    await one.secrets.ensure(namespace, [registry, registryIn('us-west-2')]);
    const before = await stored(namespace);
    one.now = start + 7 * hourMs;
    const denied = new TokenError({ code: 'AccessDeniedException', region: 'us-east-1' });
    const fetchToken = one.token;
    one.token = (wanted) => (wanted === registry ? Promise.reject(denied) : fetchToken(wanted));
    const unavailableHosts = await one.secrets.renew(namespace, [registry, registryIn('us-west-2')]);
    assert.deepEqual(
      unavailableHosts.map((one) => [one.host, one.code]),
      [[host, 'AccessDeniedException']],
    );
    const after = await stored(namespace);
    assert.deepEqual(after?.auths[host], before?.auths[host]);
    assert.notDeepEqual(
      after?.auths[registryIn('us-west-2').host],
      before?.auths[registryIn('us-west-2').host],
    );
  });

  it('reports that only an old token was available', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    await one.secrets.ensure(namespace, [registry]);
    one.now = start + 7 * hourMs;
    one.token = async () => fakeToken('old', start);
    one.failure = new TokenError({ code: 'throttled', region: 'us-east-1' });
    assert.deepEqual(
      (await one.secrets.renew(namespace, [registry])).map(({ code }) => code),
      ['throttled'],
    );
    one.failure = undefined;
    assert.deepEqual(
      (await one.secrets.renew(namespace, [registry])).map(({ code }) => code),
      ['no-newer-token'],
    );
  });

  it('does not wait for an endpoint that does not respond: it stores the other tokens, and the late one when it arrives', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const [quick, slow] = [registryIn('us-east-1'), registryIn('us-west-2')];
    const arrives = Promise.withResolvers<Token>();
    one.token = async ({ region }) =>
      region === 'us-west-2' ? await arrives.promise : fakeToken('quick', one.now);
    const unavailableHosts = await one.secrets.renew(namespace, [slow, quick]);
    assert.deepEqual(
      unavailableHosts.map(({ host, code }) => [host, code]),
      [[slow.host, 'pending']],
    );
    const before = await stored(namespace);
    assert.ok(before?.auths[quick.host]);
    assert.equal(before?.hosts[slow.host], null);
    arrives.resolve(fakeToken('slow', one.now));
    await eventually('the late token is stored', async () => (await stored(namespace))?.auths[slow.host]);
  });

  it('takes ownership again of fields that another writer changed, even if nothing else has to be repaired', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    await one.secrets.ensure(namespace, [registry]);
    const { body } = await cluster.request('GET', secretPath(namespace));
    const edited = structuredClone(body) as { data: Record<string, string> };
    const auths = (await stored(namespace))?.auths;
    const entry = { auth: btoa('another:writer') };
    edited.data['.dockerconfigjson'] = btoa(JSON.stringify({ auths: { ...auths, 'a.example': entry } }));
    assert.equal((await cluster.request('PUT', secretPath(namespace), edited)).status, 200);
    assert.equal((await one.secrets.refreshCache(namespace))?.isIntact, false);
    assert.deepEqual(await one.secrets.renew(namespace, [registry]), []);
    assert.equal((await one.secrets.refreshCache(namespace))?.isIntact, true);
    assert.deepEqual((await stored(namespace))?.auths['a.example'], entry, 'the added entry is kept');
  });

  it('restores every host of a deleted Secret, although the next pod names only one', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    await one.secrets.ensure(namespace, [registry, registryIn('us-west-2')]);
    await cluster.request('DELETE', secretPath(namespace));
    one.secretCache.remove(namespace, '999999999');
    await one.secrets.ensure(namespace, [registry]);
    assert.deepEqual(Object.keys((await stored(namespace))?.hosts ?? {}), [
      host,
      registryIn('us-west-2').host,
    ]);
  });

  it('restores every host if a pod is created before the watch shows that the Secret was deleted', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    await one.secrets.ensure(namespace, [registry, registryIn('us-west-2')]);
    await cluster.request('DELETE', secretPath(namespace));
    await one.secrets.ensure(namespace, [registryIn('eu-west-1')]);
    const all = [registryIn('eu-west-1').host, host, registryIn('us-west-2').host];
    assert.deepEqual(Object.keys((await stored(namespace))?.hosts ?? {}), all);
    assert.deepEqual([...(one.secretCache.get(namespace)?.hosts.keys() ?? [])].toSorted(), all);
  });

  it('keeps a host that an edit removed, if a pod adds another one before the repair', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    await one.secrets.ensure(namespace, [registry, registryIn('us-west-2')]);
    const { body } = await cluster.request('GET', secretPath(namespace));
    const edited = structuredClone(body) as {
      data: Record<string, string>;
      metadata: { annotations: Record<string, string> };
    };
    edited.data['.dockerconfigjson'] = btoa('{"auths":{}}');
    edited.metadata.annotations = {};
    assert.equal((await cluster.request('PUT', secretPath(namespace), edited)).status, 200);
    await one.secrets.ensure(namespace, [registryIn('eu-west-1')]);
    assert.deepEqual(Object.keys((await stored(namespace))?.hosts ?? {}), [
      registryIn('eu-west-1').host,
      host,
      registryIn('us-west-2').host,
    ]);
  });

  it('does not add a host again that was removed before its late token arrived', async () => {
    const namespace = await cluster.createNamespace();
    const one = replica();
    const other = registryIn('us-west-2');
    await one.secrets.ensure(namespace, [registry, other]);
    one.now = start + 7 * hourMs;
    const gate = Promise.withResolvers<void>();
    one.token = async () => {
      await gate.promise;
      return fakeToken('late', one.now);
    };
    const unavailableHosts = await one.secrets.renew(namespace, [registry, other]);
    assert.deepEqual(
      unavailableHosts.map(({ code }) => code),
      ['pending', 'pending'],
    );
    const { code } = await runOnce(['remove-host', '--namespace', namespace, host], cluster.kubeconfigPath);
    assert.equal(code, 0);
    gate.resolve();
    await eventually('the other one is renewed', async () => {
      return (await stored(namespace))?.auths[other.host]?.auth === btoa('AWS:late');
    });
    assert.deepEqual(Object.keys((await stored(namespace))?.hosts ?? {}), [other.host]);
  });
});
