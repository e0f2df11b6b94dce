// Tests what happens to hosts that rules deny, and to tokens of identities that no longer apply.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { HostIdentityResolver } from '../../src/ecr/identity.ts';
import type { Token } from '../../src/ecr/token.ts';
import type { RequestMatcher } from '../doubles/api-server/api-faults.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { allow, denied, unresolved } from '../support/identities.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { createReplica, fakeToken, hourMs, registryIn, start } from './pull-secret-fixtures.ts';

const writes: RequestMatcher = ({ resource, verb }) => resource.resource === 'secrets' && verb === 'patch';
const [east, west] = [registryIn('us-east-1'), registryIn('us-west-2')];
const denyEast: HostIdentityResolver = (_namespace, host) => (host === east.host ? denied : allow());

describe('a host that a rule denies', () => {
  let cluster: ApiStandIn;
  before(async () => {
    cluster = await startApiStandIn();
  });
  after(() => cluster.stop());

  const stored = async (namespace: string) =>
    Object.keys((await readPullSecret(cluster, namespace))?.auths ?? {});
  const failOnFetch = () => assert.fail('no token may be fetched');

  it('is neither fetched nor stored for a pod, and named with the rule', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    one.identityOf = () => denied;
    one.token = failOnFetch;
    const before = cluster.requests.all.length;
    assert.equal(one.secrets.hasFreshTokens(namespace, [east]), false);
    const [unavailable, ...others] = await one.secrets.ensure(namespace, [east]);
    assert.deepEqual(
      [unavailable?.host, unavailable?.code, unavailable?.text, others],
      [east.host, 'denied-by-rule', 'denied by registries[3]', []],
    );
    assert.equal(cluster.requests.all.length, before, 'no request is sent');
  });

  it('does not prevent that the other hosts of a pod are stored and recognized as fresh', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    one.identityOf = denyEast;
    const unavailable = await one.secrets.ensure(namespace, [east, west]);
    assert.deepEqual(
      unavailable.map(({ host }) => host),
      [east.host],
    );
    assert.deepEqual(await stored(namespace), [west.host]);
    assert.equal(one.secrets.hasFreshTokens(namespace, [east, west]), true);
    assert.equal(one.secrets.hasFreshTokens(namespace, [east]), false);
  });

  it('is removed by renewal with its valid token, reported once, and not restored by another replica', async () => {
    const namespace = await cluster.createNamespace();
    const [one, two] = [createReplica(cluster), createReplica(cluster, 'b')];
    await one.secrets.ensure(namespace, [east, west]);
    await two.secrets.refreshCache(namespace);
    const uid = one.secretCache.get(namespace)?.uid;
    for (const replica of [one, two]) {
      replica.identityOf = denyEast;
      replica.token = failOnFetch;
      assert.deepEqual(await replica.secrets.renew(namespace, [east]), []);
      assert.deepEqual(await stored(namespace), [west.host]);
    }
    assert.deepEqual([...one.denied, ...two.denied], [`${namespace} ${east.host}: registries[3]`]);
    assert.equal(one.secretCache.get(namespace)?.uid, uid, 'the Secret stays, also without hosts');
  });

  it('is removed by any other write', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    await one.secrets.ensure(namespace, [east]);
    one.identityOf = denyEast;
    await one.secrets.ensure(namespace, [west]);
    assert.deepEqual(await stored(namespace), [west.host]);
    assert.equal(one.denied.length, 1);
  });

  it('is a failure of the namespace while it cannot be removed', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    await one.secrets.ensure(namespace, [east]);
    one.identityOf = () => denied;
    cluster.faults.failNext(403, { match: writes, count: 1 });
    const unavailable = await one.secrets.renew(namespace, [east]);
    assert.deepEqual(
      unavailable.map(({ host, code, cause }) => [host, code, cause]),
      [[east.host, 'forbidden', 'write']],
    );
    assert.deepEqual([one.denied, one.unstored.size], [[], 0]);
  });

  it('is stored again when it is allowed again', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    await one.secrets.ensure(namespace, [east]);
    one.identityOf = () => denied;
    await one.secrets.renew(namespace, [east]);
    assert.deepEqual(await stored(namespace), []);
    one.identityOf = () => allow();
    assert.deepEqual(await one.secrets.ensure(namespace, [east]), []);
    assert.deepEqual(await stored(namespace), [east.host]);
  });

  it('causes no Secret, and is not stored, if it is denied while its token is fetched', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    const token = Promise.withResolvers<Token>();
    one.token = () => token.promise;
    const ensured = one.secrets.ensure(namespace, [east]);
    one.identityOf = () => denied;
    token.resolve(fakeToken('late', start));
    assert.deepEqual(
      (await ensured).map(({ code }) => code),
      ['denied-by-rule'],
    );
    assert.equal(await readPullSecret(cluster, namespace), undefined);
  });
});

describe('a token that was fetched before another identity came to apply', () => {
  let cluster: ApiStandIn;
  before(async () => {
    cluster = await startApiStandIn();
  });
  after(() => cluster.stop());

  it('is not stored, and the pod gets a warning that its host has no token yet', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    one.token = async () => {
      one.identityOf = () => allow('role-b');
      return fakeToken('of-role-a', one.now);
    };
    assert.deepEqual(
      (await one.secrets.ensure(namespace, [east])).map(({ code }) => code),
      ['identity-changed'],
    );
    assert.deepEqual((await readPullSecret(cluster, namespace))?.auths, {});
    assert.deepEqual([...(one.secretCache.get(namespace)?.hosts.keys() ?? [])], [east.host]);
  });

  it('leaves the stored token, and the renewal has failed', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    await one.secrets.ensure(namespace, [east]);
    const before = (await readPullSecret(cluster, namespace))?.auths[east.host];
    one.now += 7 * hourMs;
    for (const decision of [allow('role-b'), unresolved]) {
      one.token = async () => {
        one.identityOf = () => decision;
        return fakeToken('of-role-a', one.now);
      };
      assert.deepEqual(
        (await one.secrets.renew(namespace, [east])).map(({ code }) => code),
        ['identity-changed'],
      );
      assert.deepEqual((await readPullSecret(cluster, namespace))?.auths[east.host], before);
    }
    one.identityOf = () => allow('role-b');
    one.token = async () => fakeToken('of-role-b', one.now, 12 * hourMs, 'role-b');
    assert.deepEqual(await one.secrets.renew(namespace, [east]), []);
    assert.equal(one.secretCache.get(namespace)?.hosts.get(east.host)?.identity, 'role-b');
  });

  it('does not displace the token of the identity that applies, if both wait for the same write', async () => {
    const namespace = await cluster.createNamespace();
    const one = createReplica(cluster);
    one.identityOf = () => allow('role-b');
    const tokens = [
      fakeToken('first', one.now, 12 * hourMs, 'role-b'),
      fakeToken('of-role-b', one.now, 12 * hourMs, 'role-b'),
      fakeToken('of-role-a', one.now + hourMs),
    ];
    one.token = async () => tokens.shift() ?? assert.fail();
    const results = await Promise.all([
      one.secrets.ensure(namespace, [west]), // its write is in flight while the others arrive
      one.secrets.ensure(namespace, [east]),
      one.secrets.ensure(namespace, [east]),
    ]);
    const auth = (await readPullSecret(cluster, namespace))?.auths[east.host]?.auth ?? '';
    assert.equal(atob(auth), 'AWS:of-role-b');
    assert.deepEqual(
      results.map((unavailable) => unavailable.map(({ code }) => code)),
      [[], [], ['identity-changed']],
    );
  });
});
