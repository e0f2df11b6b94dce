// Tests that caching resolved registries changes no result and retains no image reference.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createCachedRegistryResolver } from '../../src/ecr/registry-cache.ts';
import { measureHeap } from '../support/heap.ts';
import { getImageRegistry, resolveRegistry } from '../support/registries.ts';

const hostOf = (account: number) => `${String(account).padStart(12, '0')}.dkr.ecr.eu-central-1.amazonaws.com`;

describe('cached registries', () => {
  it('are the same as without the cache, at the first call and later', () => {
    const read = createCachedRegistryResolver(resolveRegistry);
    const hosts = fc.oneof(fc.string(), fc.nat(3_000).map(hostOf), fc.nat(3).map(hostOf));
    fc.assert(
      fc.property(hosts, (host) => {
        assert.deepEqual(read(host), resolveRegistry(host));
        assert.deepEqual(read(host), resolveRegistry(host));
      }),
      { numRuns: 3_000 },
    );
  });

  it('keep no other part of the image reference in memory', () => {
    const read = createCachedRegistryResolver(resolveRegistry);
    const megabyte = 1_000_000;
    const readMany = () => {
      for (let account = 0; account < 100; account += 1) {
        const image = `${hostOf(account)}/${String(account % 10).repeat(megabyte)}`;
        assert.equal(getImageRegistry(image)?.host, read(image.slice(0, image.indexOf('/')))?.host);
      }
    };
    const before = measureHeap();
    readMany();
    const kept = measureHeap() - before;
    assert.ok(kept < 10 * megabyte, `${kept} bytes`);
    assert.equal(read(hostOf(99))?.host, hostOf(99));
  });
});
