import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { needOf, pullSecretRules, reflects } from '../../src/pull-secrets/host-needs.ts';
import { formatHosts, maxReadHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { type KnownSecret, SecretView } from '../../src/pull-secrets/secret-cache.ts';
import { tokenExpiries } from '../../src/pull-secrets/token-expirations.ts';
import { fakeToken, hour } from './pull-secret-fixtures.ts';

const now = Date.UTC(2026, 10, 23, 12);
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const west = '123456789012.dkr.ecr.us-west-2.amazonaws.com';
const life = (endsIn: number) => ({ issuedAt: now + endsIn - 12 * hour, expiresAt: now + endsIn });

function metadata(
  namespace: string,
  resourceVersion: string,
  hosts = new Map([[east, life(hour)]]),
  labels = {},
  manager = productName,
) {
  return {
    namespace,
    uid: `uid-${namespace}`,
    resourceVersion,
    labels: { [managedByLabel]: productName, ...labels },
    annotations: { [hostsAnnotation]: formatHosts(hosts) },
    owners: [{ manager, data: ['.dockerconfigjson'], annotations: [hostsAnnotation] }],
  };
}

/** An unmanaged Secret of the same name. */
const foreign = (namespace: string, resourceVersion: string) =>
  metadata(namespace, resourceVersion, undefined, { [managedByLabel]: 'Helm' }, 'kubectl-create');

describe('the view', () => {
  it('knows hosts and ends, and which Secrets are not ours', () => {
    const view = new SecretView();
    view.replace([metadata('a', '5'), foreign('b', '6')]);
    assert.deepEqual(view.get('a')?.hosts.get(east), life(hour));
    assert.equal(view.get('a')?.ours, true);
    assert.equal(view.get('b')?.ours, false);
    assert.equal(view.get('c'), undefined);
  });

  it('does not go back to an older version that comes late', () => {
    const view = new SecretView();
    const written = metadata('a', '100', new Map([[west, life(hour)]]));
    view.learn({ metadata: { ...written, name: 'ecr-pull-secrets' } }, true);
    view.set(metadata('a', '99'));
    view.replace([metadata('a', '98')]);
    view.remove('a', '99');
    assert.deepEqual([...(view.get('a')?.hosts.keys() ?? [])], [west]);
    view.set(metadata('a', '101'));
    assert.deepEqual([...(view.get('a')?.hosts.keys() ?? [])], [east]);
  });

  it('forgets what is deleted, and what a whole list no longer holds', () => {
    const view = new SecretView();
    view.replace([metadata('a', '5'), metadata('b', '6')]);
    view.remove('a', '7');
    assert.equal(view.get('a'), undefined);
    view.replace([]);
    assert.equal(view.get('b'), undefined);
  });

  it('remembers of a Secret of another type, which metadata does not show, that it is not ours', () => {
    const view = new SecretView();
    const opaque = metadata('a', '5');
    view.learn({ metadata: { ...opaque, name: 'ecr-pull-secrets' }, type: 'Opaque' }, false);
    view.replace([opaque]);
    view.set(opaque);
    assert.equal(view.get('a')?.ours, false);
  });

  it('keeps the hosts of a deleted Secret as lost, until there is a Secret again or nobody wants them', () => {
    const view = new SecretView();
    view.replace([metadata('a', '5'), metadata('b', '6')]);
    view.replace([metadata('b', '6')]);
    view.remove('b', '7');
    assert.deepEqual([...view.lost().keys()], ['a', 'b']);
    assert.deepEqual([...(view.lost().get('a')?.hosts.keys() ?? [])], [east]);
    view.set(metadata('a', '8'));
    view.forget('b');
    assert.equal(view.lost().size, 0);
  });

  it('does not keep the hosts of a deleted Secret that was not ours', () => {
    const view = new SecretView();
    view.replace([foreign('a', '5')]);
    view.remove('a', '6');
    assert.equal(view.lost().size, 0);
  });

  it('knows when somebody else was at a Secret, and keeps the hosts that were taken out', () => {
    const view = new SecretView();
    const both = new Map([
      [east, life(hour)],
      [west, life(hour)],
    ]);
    view.set(metadata('a', '5', both));
    view.set(metadata('a', '6', new Map([[west, life(hour)]]), {}, 'kubectl-edit'));
    assert.equal(view.get('a')?.intact, false);
    assert.deepEqual(
      view.get('a')?.hosts,
      new Map([
        [west, life(hour)],
        [east, undefined],
      ]),
    );
    view.set(metadata('a', '7', both, {}, `${productName}-1a2b3c4d`));
    assert.equal(view.get('a')?.intact, true);
    assert.equal(view.get('a')?.hosts.size, 2);
  });

  it('tells two looks apart by a number that grows with each change', () => {
    const view = new SecretView();
    const seen = [view.changes];
    view.set(metadata('a', '5'));
    seen.push(view.changes);
    view.set(metadata('a', '5'));
    assert.equal(view.changes, seen[1]);
    view.remove('a', '6');
    seen.push(view.changes);
    assert.equal(new Set(seen).size, 3);
  });

  it('does not parse the annotation of a Secret that is not ours, by label or by type', () => {
    const view = new SecretView();
    view.set(foreign('label', '5'));
    const other = metadata('type', '5');
    view.learn({ metadata: { ...other, name: 'ecr-pull-secrets' }, type: 'Opaque' }, false);
    assert.equal(view.get('label')?.hosts.size, 0);
    assert.equal(view.get('type')?.hosts.size, 0);
  });

  it('knows that the type of a Secret does not change, until another one takes its place', () => {
    const view = new SecretView();
    const other = metadata('a', '5');
    view.learn({ metadata: { ...other, name: 'ecr-pull-secrets' }, type: 'Opaque' }, false);
    view.set(metadata('a', '6'));
    assert.deepEqual([view.get('a')?.ours, view.get('a')?.hosts.size], [false, 0]);
    view.set({ ...metadata('a', '7'), uid: 'another' });
    assert.deepEqual([view.get('a')?.ours, view.get('a')?.hosts.size], [true, 1]);
  });

  it('takes a Secret that cannot be read for an unmanaged one, until a later version can be', () => {
    const view = new SecretView();
    view.set(metadata('a', '5'));
    view.reject({ namespace: 'a', uid: 'uid-a', resourceVersion: '6' });
    assert.deepEqual([view.get('a')?.ours, view.get('a')?.hosts.size], [false, 0]);
    view.set(metadata('a', '7'));
    assert.equal(view.get('a')?.ours, true);
  });

  it('does not grow with the number of edits, and keeps the hosts that were there first', () => {
    const view = new SecretView();
    const letters = (index: number) =>
      [...String(index)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
    view.set(metadata('a', '5'));
    for (let edit = 1; edit <= 10; edit += 1) {
      const madeUp = Array.from(
        { length: 200 },
        (_, index) => [east.replace('us-east', `us-${letters(1_000 * edit + index)}`), life(hour)] as const,
      );
      view.set(metadata('a', String(5 + edit), new Map(madeUp), {}, 'kubectl-edit'));
    }
    assert.equal(view.get('a')?.hosts.size, maxReadHosts);
    assert.equal(view.get('a')?.hosts.has(east), true);
  });

  it('knows of a deleted Secret whether somebody else had changed it', () => {
    const view = new SecretView();
    view.set(metadata('deleted', '5'));
    view.remove('deleted', '6');
    view.set(metadata('edited', '5', undefined, {}, 'kubectl-edit'));
    view.remove('edited', '6');
    assert.deepEqual(
      [...view.lost()].map(([namespace, { intact }]) => [namespace, intact]),
      [
        ['deleted', true],
        ['edited', false],
      ],
    );
  });
});

describe('when tokens expire, for metrics and alerts', () => {
  const asItIs = (region: string) => region;

  it('is the next expiry of each region, of managed Secrets that nobody else has changed', () => {
    const view = new SecretView();
    view.replace([
      metadata(
        'a',
        '5',
        new Map([
          [east, life(3 * hour)],
          [west, life(2 * hour)],
        ]),
      ),
      metadata('b', '6', new Map([[east, life(hour)]])),
      metadata('c', '7', new Map([[west, life(60_000)]]), { [managedByLabel]: 'Helm' }, 'kubectl-create'),
      metadata('d', '8', new Map([[west, life(60_000)]]), {}, 'kubectl-edit'),
    ]);
    assert.deepEqual(
      view.tokenExpiries(now, asItIs),
      new Map([
        ['us-east-1', now + hour],
        ['us-west-2', now + 2 * hour],
      ]),
    );
  });

  it('is not hidden by a token that has expired, and is the last expiry where all have', () => {
    const secrets = [-hour, hour, 2 * hour].map((endsIn) => ({
      ours: true,
      intact: true,
      hosts: new Map([[east, life(endsIn)]]),
    }));
    assert.deepEqual(tokenExpiries(secrets, now, asItIs), new Map([['us-east-1', now + hour]]));
    const later = now + 5 * hour;
    assert.deepEqual(tokenExpiries(secrets, later, asItIs), new Map([['us-east-1', now + 2 * hour]]));
  });

  it('labels regions that more Secrets use first, and a shared label has the next expiry of any', () => {
    const madeUp = ['us-aaa-1', 'us-bbb-1'].map((region) => east.replace('us-east-1', region));
    const accounts = ['1', '2', '3'].map((digit) =>
      east.replace('1234', `${digit}234`).replace('us-east-1', 'us-bbb-1'),
    );
    const tenant = new Map([...madeUp, ...accounts].map((host) => [host, life(hour)]));
    const secrets = [tenant, new Map([[west, life(3 * hour)]]), new Map([[west, life(2 * hour)]])].map(
      (hosts) => ({
        ours: true,
        intact: true,
        hosts,
      }),
    );
    const order: string[] = [];
    const labelOf = (region: string) => (order.push(region) > 1 ? 'other' : region);
    assert.deepEqual(
      tokenExpiries(secrets, now, labelOf),
      new Map([
        ['us-west-2', now + 2 * hour],
        ['other', now + hour],
      ]),
    );
    assert.deepEqual(order, ['us-west-2', 'us-aaa-1', 'us-bbb-1']);
  });
});

describe('what a host needs', () => {
  const rules = pullSecretRules({
    freshness: { fraction: 0.5, floorMs: hour },
    maxHosts: 2,
    identityOf: () => undefined,
    now: () => now,
  });
  const secret = (hosts: KnownSecret['hosts'], ours = true): KnownSecret => ({
    uid: 'u',
    resourceVersion: '1',
    ours,
    intact: true,
    formerHosts: new Map(),
    hosts,
    requestedAt: new Map(),
    learnedAt: 0,
  });

  it('is nothing, a renewal, a token or room', () => {
    assert.equal(needOf(east, secret(new Map([[east, life(7 * hour)]])), rules), 'nothing');
    assert.equal(needOf(east, secret(new Map([[east, life(2 * hour)]])), rules), 'renewal');
    assert.equal(needOf(east, secret(new Map([[east, life(hour / 2)]])), rules), 'token');
    assert.equal(needOf(east, secret(new Map([[east, undefined]])), rules), 'token');
    assert.equal(needOf(east, secret(new Map()), rules), 'token');
    assert.equal(needOf(east, undefined, rules), 'token');
    const full = secret(
      new Map([
        [west, undefined],
        ['x', undefined],
      ]),
    );
    assert.equal(needOf(east, full, rules), 'room');
    assert.equal(needOf(west, full, rules), 'token');
  });

  it('is no write where the Secret holds the token, or names the host of which there is none', () => {
    const token = fakeToken('x', now);
    const noted = secret(new Map([[east, undefined]]));
    assert.equal(reflects(noted, new Map([[east, undefined]]), rules), true);
    assert.equal(reflects(noted, new Map([[east, token]]), rules), false);
    assert.equal(reflects(noted, new Map([[west, undefined]]), rules), false);
    assert.equal(reflects(secret(new Map([[east, life(10 * hour)]])), new Map([[east, token]]), rules), true);
    assert.equal(
      reflects(secret(new Map([[east, life(10 * hour)]]), false), new Map([[east, token]]), rules),
      false,
    );
    assert.equal(reflects(undefined, new Map([[east, undefined]]), rules), false);
  });
});
