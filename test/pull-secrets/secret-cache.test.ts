// Tests what the cache knows of each pull Secret after changes, deletions and edits, and the metrics from it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultDecision } from '../../src/ecr/identity.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { createTokenRules, determineNeed, isUpToDate } from '../../src/pull-secrets/host-needs.ts';
import { formatHosts, maxParsedHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { type CachedSecret, SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { findTokenExpiries } from '../../src/pull-secrets/token-expirations.ts';
import { resolveRegistry } from '../support/registries.ts';
import { fakeToken, hourMs } from './pull-secret-fixtures.ts';

const now = Date.UTC(2026, 10, 23, 12);
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const west = '123456789012.dkr.ecr.us-west-2.amazonaws.com';
const lifetime = (expiresInMs: number) => ({
  issuedAt: now + expiresInMs - 12 * hourMs,
  expiresAt: now + expiresInMs,
});

function metadata(
  namespace: string,
  resourceVersion: string,
  hosts = new Map([[east, lifetime(hourMs)]]),
  labels = {},
  manager = productName,
) {
  return {
    namespace,
    uid: `uid-${namespace}`,
    resourceVersion,
    labels: { [managedByLabel]: productName, ...labels },
    annotations: { [hostsAnnotation]: formatHosts(hosts) },
    fieldOwners: [{ manager, data: ['.dockerconfigjson'], annotations: [hostsAnnotation] }],
  };
}

/** An unmanaged Secret with the same name. */
const unmanaged = (namespace: string, resourceVersion: string) =>
  metadata(namespace, resourceVersion, undefined, { [managedByLabel]: 'Helm' }, 'kubectl-create');

describe('the Secret cache', () => {
  it('holds hosts and expiries, and whether a Secret is managed', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.replace([metadata('a', '5'), unmanaged('b', '6')]);
    assert.deepEqual(secretCache.get('a')?.hosts.get(east), lifetime(hourMs));
    assert.equal(secretCache.get('a')?.isManaged, true);
    assert.equal(secretCache.get('b')?.isManaged, false);
    assert.equal(secretCache.get('c'), undefined);
  });

  it('ignores an older version that arrives late', () => {
    const secretCache = new SecretCache(resolveRegistry);
    const written = metadata('a', '100', new Map([[west, lifetime(hourMs)]]));
    secretCache.updateFromRead({ metadata: { ...written, name: 'ecr-pull-secrets' } }, true);
    secretCache.set(metadata('a', '99'));
    secretCache.replace([metadata('a', '98')]);
    secretCache.remove('a', '99');
    assert.deepEqual([...(secretCache.get('a')?.hosts.keys() ?? [])], [west]);
    secretCache.set(metadata('a', '101'));
    assert.deepEqual([...(secretCache.get('a')?.hosts.keys() ?? [])], [east]);
  });

  it('removes Secrets that are deleted or missing in a complete list', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.replace([metadata('a', '5'), metadata('b', '6')]);
    secretCache.remove('a', '7');
    assert.equal(secretCache.get('a'), undefined);
    secretCache.replace([]);
    assert.equal(secretCache.get('b'), undefined);
  });

  it('keeps that a Secret is unmanaged because of its type, which metadata does not show', () => {
    const secretCache = new SecretCache(resolveRegistry);
    const opaque = metadata('a', '5');
    secretCache.updateFromRead({ metadata: { ...opaque, name: 'ecr-pull-secrets' }, type: 'Opaque' }, false);
    secretCache.replace([opaque]);
    secretCache.set(opaque);
    assert.equal(secretCache.get('a')?.isManaged, false);
  });

  it('keeps the hosts of a deleted Secret until there is a Secret again or they are forgotten', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.replace([metadata('a', '5'), metadata('b', '6')]);
    secretCache.replace([metadata('b', '6')]);
    secretCache.remove('b', '7');
    assert.deepEqual([...secretCache.deletedSecrets().keys()], ['a', 'b']);
    assert.deepEqual([...(secretCache.deletedSecrets().get('a')?.hosts.keys() ?? [])], [east]);
    secretCache.set(metadata('a', '8'));
    secretCache.forget('b');
    assert.equal(secretCache.deletedSecrets().size, 0);
  });

  it('does not keep the hosts of a deleted unmanaged Secret', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.replace([unmanaged('a', '5')]);
    secretCache.remove('a', '6');
    assert.equal(secretCache.deletedSecrets().size, 0);
  });

  it('detects that another writer modified a Secret, and keeps the hosts that were removed', () => {
    const secretCache = new SecretCache(resolveRegistry);
    const both = new Map([
      [east, lifetime(hourMs)],
      [west, lifetime(hourMs)],
    ]);
    secretCache.set(metadata('a', '5', both));
    secretCache.set(metadata('a', '6', new Map([[west, lifetime(hourMs)]]), {}, 'kubectl-edit'));
    assert.equal(secretCache.get('a')?.isIntact, false);
    assert.deepEqual(
      secretCache.get('a')?.hosts,
      new Map([
        [west, lifetime(hourMs)],
        [east, undefined],
      ]),
    );
    secretCache.set(metadata('a', '7', both, {}, `${productName}-1a2b3c4d`));
    assert.equal(secretCache.get('a')?.isIntact, true);
    assert.equal(secretCache.get('a')?.hosts.size, 2);
  });

  it('has a change count that increases with each change', () => {
    const secretCache = new SecretCache(resolveRegistry);
    const counts = [secretCache.changeCount];
    secretCache.set(metadata('a', '5'));
    counts.push(secretCache.changeCount);
    secretCache.set(metadata('a', '5'));
    assert.equal(secretCache.changeCount, counts[1]);
    secretCache.remove('a', '6');
    counts.push(secretCache.changeCount);
    assert.equal(new Set(counts).size, 3);
  });

  it('does not parse the annotation of a Secret that is unmanaged by label or by type', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(unmanaged('label', '5'));
    const other = metadata('type', '5');
    secretCache.updateFromRead({ metadata: { ...other, name: 'ecr-pull-secrets' }, type: 'Opaque' }, false);
    assert.equal(secretCache.get('label')?.hosts.size, 0);
    assert.equal(secretCache.get('type')?.hosts.size, 0);
  });

  it('assumes that the type of a Secret stays the same until another Secret replaces it', () => {
    const secretCache = new SecretCache(resolveRegistry);
    const other = metadata('a', '5');
    secretCache.updateFromRead({ metadata: { ...other, name: 'ecr-pull-secrets' }, type: 'Opaque' }, false);
    secretCache.set(metadata('a', '6'));
    assert.deepEqual([secretCache.get('a')?.isManaged, secretCache.get('a')?.hosts.size], [false, 0]);
    secretCache.set({ ...metadata('a', '7'), uid: 'another' });
    assert.deepEqual([secretCache.get('a')?.isManaged, secretCache.get('a')?.hosts.size], [true, 1]);
  });

  it('treats a Secret that cannot be parsed as unmanaged, until a later version can be parsed', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(metadata('a', '5'));
    secretCache.reject({ namespace: 'a', uid: 'uid-a', resourceVersion: '6' });
    assert.deepEqual([secretCache.get('a')?.isManaged, secretCache.get('a')?.hosts.size], [false, 0]);
    secretCache.set(metadata('a', '7'));
    assert.equal(secretCache.get('a')?.isManaged, true);
  });

  it('does not grow with the number of edits, and keeps the first hosts', () => {
    const secretCache = new SecretCache(resolveRegistry);
    const letters = (index: number) =>
      [...String(index)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
    secretCache.set(metadata('a', '5'));
    for (let edit = 1; edit <= 10; edit += 1) {
      const madeUp = Array.from(
        { length: 200 },
        (_, index) =>
          [east.replace('us-east', `us-${letters(1_000 * edit + index)}`), lifetime(hourMs)] as const,
      );
      secretCache.set(metadata('a', String(5 + edit), new Map(madeUp), {}, 'kubectl-edit'));
    }
    assert.equal(secretCache.get('a')?.hosts.size, maxParsedHosts);
    assert.equal(secretCache.get('a')?.hosts.has(east), true);
  });

  it('keeps whether another writer had modified a deleted Secret', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(metadata('deleted', '5'));
    secretCache.remove('deleted', '6');
    secretCache.set(metadata('modified', '5', undefined, {}, 'kubectl-edit'));
    secretCache.remove('modified', '6');
    assert.deepEqual(
      [...secretCache.deletedSecrets()].map(([namespace, { isIntact }]) => [namespace, isIntact]),
      [
        ['deleted', true],
        ['modified', false],
      ],
    );
  });
});

describe('the expiry of tokens for metrics and alerts', () => {
  const unchanged = (region: string) => region;

  it('is the next expiry of each region in managed Secrets that no other writer changed', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.replace([
      metadata(
        'a',
        '5',
        new Map([
          [east, lifetime(3 * hourMs)],
          [west, lifetime(2 * hourMs)],
        ]),
      ),
      metadata('b', '6', new Map([[east, lifetime(hourMs)]])),
      metadata('c', '7', new Map([[west, lifetime(60_000)]]), { [managedByLabel]: 'Helm' }, 'kubectl-create'),
      metadata('d', '8', new Map([[west, lifetime(60_000)]]), {}, 'kubectl-edit'),
    ]);
    assert.deepEqual(
      secretCache.tokenExpiries(now, unchanged),
      new Map([
        ['us-east-1', now + hourMs],
        ['us-west-2', now + 2 * hourMs],
      ]),
    );
  });

  it('is not hidden by an expired token, and is the last expiry if all have expired', () => {
    const secrets = [-hourMs, hourMs, 2 * hourMs].map((expiresInMs) => ({
      isManaged: true,
      isIntact: true,
      hosts: new Map([[east, lifetime(expiresInMs)]]),
    }));
    assert.deepEqual(
      findTokenExpiries(secrets, now, unchanged, resolveRegistry),
      new Map([['us-east-1', now + hourMs]]),
    );
    const later = now + 5 * hourMs;
    assert.deepEqual(
      findTokenExpiries(secrets, later, unchanged, resolveRegistry),
      new Map([['us-east-1', now + 2 * hourMs]]),
    );
  });

  it('labels regions that more Secrets use first, and a shared label has the next expiry of its regions', () => {
    const madeUp = ['us-aaa-1', 'us-bbb-1'].map((region) => east.replace('us-east-1', region));
    const accounts = ['1', '2', '3'].map((digit) =>
      east.replace('1234', `${digit}234`).replace('us-east-1', 'us-bbb-1'),
    );
    const tenant = new Map([...madeUp, ...accounts].map((host) => [host, lifetime(hourMs)]));
    const secrets = [
      tenant,
      new Map([[west, lifetime(3 * hourMs)]]),
      new Map([[west, lifetime(2 * hourMs)]]),
    ].map((hosts) => ({
      isManaged: true,
      isIntact: true,
      hosts,
    }));
    const order: string[] = [];
    const labelOf = (region: string) => (order.push(region) > 1 ? 'other' : region);
    assert.deepEqual(
      findTokenExpiries(secrets, now, labelOf, resolveRegistry),
      new Map([
        ['us-west-2', now + 2 * hourMs],
        ['other', now + hourMs],
      ]),
    );
    assert.deepEqual(order, ['us-west-2', 'us-aaa-1', 'us-bbb-1']);
  });
});

describe('the need of a host', () => {
  const rules = createTokenRules({
    freshness: { fraction: 0.5, floorMs: hourMs },
    maxHosts: 2,
    identityOf: () => defaultDecision,
    now: () => now,
  });
  const secret = (hosts: CachedSecret['hosts'], isManaged = true): CachedSecret => ({
    uid: 'u',
    resourceVersion: '1',
    isManaged,
    isIntact: true,
    formerHosts: new Map(),
    hosts,
    requestedAt: new Map(),
    observedAt: 0,
  });

  it('is nothing, a renewal, a token or capacity', () => {
    assert.equal(determineNeed(east, secret(new Map([[east, lifetime(7 * hourMs)]])), rules), 'nothing');
    assert.equal(determineNeed(east, secret(new Map([[east, lifetime(2 * hourMs)]])), rules), 'renewal');
    assert.equal(determineNeed(east, secret(new Map([[east, lifetime(hourMs / 2)]])), rules), 'token');
    assert.equal(determineNeed(east, secret(new Map([[east, undefined]])), rules), 'token');
    assert.equal(determineNeed(east, secret(new Map()), rules), 'token');
    assert.equal(determineNeed(east, undefined, rules), 'token');
    const full = secret(
      new Map([
        [west, undefined],
        ['x', undefined],
      ]),
    );
    assert.equal(determineNeed(east, full, rules), 'capacity');
    assert.equal(determineNeed(west, full, rules), 'token');
  });

  it('is no write if the Secret holds the token, or names the host and no token is available', () => {
    const token = fakeToken('x', now);
    const withoutToken = secret(new Map([[east, undefined]]));
    assert.equal(isUpToDate('team-a', withoutToken, new Map([[east, undefined]]), rules), true);
    assert.equal(isUpToDate('team-a', withoutToken, new Map([[east, token]]), rules), false);
    assert.equal(isUpToDate('team-a', withoutToken, new Map([[west, undefined]]), rules), false);
    assert.equal(
      isUpToDate('team-a', secret(new Map([[east, lifetime(10 * hourMs)]])), new Map([[east, token]]), rules),
      true,
    );
    assert.equal(
      isUpToDate(
        'team-a',
        secret(new Map([[east, lifetime(10 * hourMs)]]), false),
        new Map([[east, token]]),
        rules,
      ),
      false,
    );
    assert.equal(isUpToDate('team-a', undefined, new Map([[east, undefined]]), rules), false);
  });
});
