// Tests that caches keep the newest version, and accept an older one only after etcd was restored.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compareResourceVersions } from '../../src/kube/resource-version.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { ClusterCache } from '../../src/provisioning/cluster-cache.ts';

import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { eventually } from '../support/eventually.ts';
import { resolveRegistry } from '../support/registries.ts';
import { startRawServer } from './raw-server.ts';
import { secretName } from './secret-api-fixtures.ts';

const version = fc.bigInt({ min: 1n, max: 10n ** 40n });
const notComparable = fc.oneof(
  fc.constantFrom(undefined, '', '0', '007', '-1', '+1', '1.5', '1e3', ' 1', '1\n', '0x1F', '١'),
  fc.string().filter((text) => !/^[1-9][0-9]*$/.test(text)),
);

describe('resourceVersions', () => {
  it('are compared as numbers of any length', () => {
    assert.deepEqual(
      [
        compareResourceVersions('9', '10'),
        compareResourceVersions('10', '9'),
        compareResourceVersions('10', '10'),
      ],
      [-1, 1, 0],
    );
    fc.assert(
      fc.property(version, version, (a, b) => {
        const expected = a < b ? -1 : a > b ? 1 : 0;
        assert.equal(compareResourceVersions(String(a), String(b)), expected);
      }),
      { numRuns: 500 },
    );
  });

  it('have no order if one is missing or not a decimal number without leading zeros', () => {
    fc.assert(
      fc.property(notComparable, fc.oneof(version.map(String), notComparable), (a, b) => {
        assert.equal(compareResourceVersions(a, b), undefined);
        assert.equal(compareResourceVersions(b, a), undefined);
      }),
      { numRuns: 500 },
    );
  });

  it('of a megabyte are compared quickly', () => {
    const [long, longer] = ['9'.repeat(1_000_000), '9'.repeat(1_000_001)];
    assert.equal(compareResourceVersions(long, longer), -1);
  });
});

describe('the cache of Secrets', () => {
  const metadata = (resourceVersion: string, account: number) => ({
    ...{ namespace: 'team-a', uid: 'u', resourceVersion },
    labels: { [managedByLabel]: productName },
    annotations: { [hostsAnnotation]: JSON.stringify({ [hostOf(account)]: null }) },
    fieldOwners: [],
  });
  const hostOf = (account: number) => `${100_000_000_000 + account}.dkr.ecr.us-east-1.amazonaws.com`;
  const read = (resourceVersion: string, account: number) => {
    const { fieldOwners, ...rest } = metadata(resourceVersion, account);
    return { metadata: { ...rest, name: 'ecr-pull-secrets' }, fieldOwners };
  };
  const shows = (cache: SecretCache, account: number) =>
    cache.get('team-a')?.hosts.has(hostOf(account)) === true;

  for (const [what, first, next] of [
    ['opaque versions', 'zz', 'aa'],
    ['no versions', '', ''],
    ['versions with leading zeros', '9', '007'],
  ] as const) {
    it(`keeps what it received last if the API server sends ${what}`, () => {
      for (const show of [
        (cache: SecretCache) => cache.set(metadata(next, 2)),
        (cache: SecretCache) => cache.replace([metadata(next, 2)]),
        (cache: SecretCache) => cache.updateFromRead(read(next, 2), true),
        (cache: SecretCache) => cache.updateFromWrite(read(next, 2)),
      ]) {
        const cache = new SecretCache(resolveRegistry);
        cache.set(metadata(first, 1));
        show(cache);
        assert.ok(shows(cache, 2));
      }
      const cache = new SecretCache(resolveRegistry);
      cache.set(metadata(first, 1));
      cache.remove('team-a', next);
      assert.equal(cache.get('team-a'), undefined);
    });
  }

  it('skips every earlier version', () => {
    const cache = new SecretCache(resolveRegistry);
    cache.set(metadata('10', 1));
    cache.set(metadata('9', 2));
    cache.replace([metadata('10', 2)]);
    cache.updateFromRead(read('9', 2), true);
    cache.updateFromWrite(read('9', 2));
    cache.remove('team-a', '9');
    assert.ok(shows(cache, 1));
  });
});

describe('the cache of ServiceAccounts', () => {
  const account = (resourceVersion: string, imagePullSecrets: string[]) => ({
    ...{ namespace: 'team-a', name: 'default', uid: 'u', resourceVersion },
    ...{ imagePullSecrets, managedReference: undefined, hasAnnotations: false },
  });
  const imagePullSecrets = (cache: ClusterCache) =>
    cache.getObserved('team-a').serviceAccounts.map((one) => one.imagePullSecrets);

  it('skips an earlier version, and keeps what it received last if versions have no order', () => {
    const cache = new ClusterCache(() => undefined);
    cache.setServiceAccount(account('10', ['a']));
    cache.setServiceAccount(account('9', ['b']));
    assert.deepEqual(imagePullSecrets(cache), [['a']]);
    cache.setServiceAccount(account('opaque', ['c']));
    cache.setServiceAccount(account('', ['d']));
    assert.deepEqual(imagePullSecrets(cache), [['d']]);
  });
});

describe('a watch that lists again', () => {
  /** The sizes of the lists that the handler received. */
  const listed = async (versions: readonly string[]) => {
    let lists = 0;
    const server = await startRawServer((_request, response, url) => {
      const isWatch = url.searchParams.has('watch');
      const metadata = { resourceVersion: versions[Math.min(lists, versions.length - 1)] };
      lists += isWatch ? 0 : 1;
      const items = [{ metadata: { namespace: 'team-a', name: secretName, uid: 'u', resourceVersion: '1' } }];
      response.writeHead(isWatch ? 410 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(isWatch ? { kind: 'Status', code: 410 } : { metadata, items }));
    });
    const sizes: number[] = [];
    const { config } = server;
    const watch = watchSecretMetadata({
      ...{ config, name: secretName, backoff: () => 1 },
      handler: {
        replace: (items) => void sizes.push(items.length),
        set: () => undefined,
        remove: () => undefined,
      },
    });
    await watch.start();
    await eventually('all lists are made', () => sizes.length > versions.length, 30_000);
    await watch.stop();
    await server.stop();
    return sizes.slice(0, versions.length + 1);
  };

  it('discards its state only if the resourceVersion went backwards', async () => {
    assert.deepEqual(await listed(['100', '99']), [1, 0, 1]);
    assert.deepEqual(await listed(['99', '100']), [1, 1, 1]);
    assert.deepEqual(await listed(['zz', 'aa']), [1, 1, 1]);
    assert.deepEqual(await listed(['100', '007']), [1, 1, 1]);
  });
});
