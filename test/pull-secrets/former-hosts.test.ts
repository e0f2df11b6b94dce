// Tests that the hosts of a deleted, edited or replaced Secret are remembered until they are stored again.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { SecretMetadata } from '../../src/kube/secret-metadata.ts';
import type { SecretObject } from '../../src/kube/secrets.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts, maxParsedHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { dockerConfigKey, secretType } from '../../src/pull-secrets/ownership.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { resolveRegistry } from '../support/registries.ts';

const namespace = 'team-a';
const lifetime = { issuedAt: Date.UTC(2026, 10, 23), expiresAt: Date.UTC(2026, 10, 24) };
const hostOf = (account: number) => `${100_000_000_000 + account}.dkr.ecr.us-east-1.amazonaws.com`;

type Kind = 'own' | 'relabelled' | 'modified' | 'unmanaged';

/** Metadata of a version of the Secret. */
function version(kind: Kind, uid: string, resourceVersion: number, accounts: readonly number[]) {
  const manager = kind === 'own' || kind === 'relabelled' ? productName : 'kubectl';
  return {
    ...{ namespace, uid, resourceVersion: String(resourceVersion) },
    labels: { [managedByLabel]: kind === 'own' || kind === 'modified' ? productName : 'Helm' },
    annotations: {
      [hostsAnnotation]: formatHosts(new Map(accounts.map((account) => [hostOf(account), lifetime]))),
    },
    fieldOwners: [{ manager, data: [dockerConfigKey], annotations: [hostsAnnotation] }],
  } satisfies SecretMetadata;
}

function objectOf({ fieldOwners, ...metadata }: SecretMetadata): SecretObject {
  return { metadata: { ...metadata, name: 'ecr-pull-secrets' }, fieldOwners, type: secretType };
}

const names = (hosts: { keys(): Iterable<string> } | undefined) => [...(hosts?.keys() ?? [])].toSorted();
const all = (...accounts: number[]) => accounts.map(hostOf);

describe('the hosts of a managed Secret that an unmanaged one replaced', () => {
  it('are kept across later versions and relists, and wait for tokens when the Secret is managed again', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(version('own', 'a', 1, [1, 2]));
    assert.equal(secretCache.get(namespace)?.formerHosts.size, 0);
    secretCache.set(version('unmanaged', 'b', 2, [7]));
    secretCache.set(version('unmanaged', 'b', 3, []));
    secretCache.replace([version('unmanaged', 'c', 4, [])]);
    const unmanaged = secretCache.get(namespace);
    assert.deepEqual([unmanaged?.isManaged, unmanaged?.hosts.size], [false, 0]);
    assert.deepEqual(names(unmanaged?.formerHosts), all(1, 2));
    assert.equal(unmanaged?.hasTrustedHosts, true);
    secretCache.set(version('own', 'c', 5, [2, 3]));
    const managed = secretCache.get(namespace);
    assert.deepEqual([names(managed?.hosts), managed?.formerHosts.size], [all(1, 2, 3), 0]);
    assert.deepEqual([managed?.hosts.get(hostOf(1)), managed?.hosts.get(hostOf(2))], [undefined, lifetime]);
    assert.equal(managed?.isIntact, false, 'it has to be repaired because it does not name all of them');
    secretCache.updateFromWrite(objectOf(version('own', 'c', 6, [1, 2, 3])));
    assert.equal(secretCache.get(namespace)?.isIntact, true);
  });

  it('are hosts of a deleted Secret when the unmanaged one is deleted, and can be forgotten', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(version('own', 'a', 1, [1, 2]));
    secretCache.remove(namespace, '2');
    secretCache.set(version('unmanaged', 'b', 3, []));
    assert.deepEqual(names(secretCache.get(namespace)?.formerHosts), all(1, 2));
    secretCache.remove(namespace, '4');
    assert.deepEqual(names(secretCache.deletedSecrets().get(namespace)?.hosts), all(1, 2));
    assert.equal(secretCache.deletedSecrets().get(namespace)?.isIntact, true);
    secretCache.set(version('unmanaged', 'c', 5, []));
    const { changeCount } = secretCache;
    secretCache.forget(namespace);
    assert.equal(secretCache.get(namespace)?.formerHosts.size, 0);
    assert.notEqual(secretCache.changeCount, changeCount);
    secretCache.remove(namespace, '6');
    assert.equal(secretCache.deletedSecrets().size, 0);
  });

  it('are neither reported nor forgotten if the operator manages the Secret', () => {
    const replaced: string[] = [];
    const secretCache = new SecretCache(resolveRegistry, undefined, (name) => replaced.push(name));
    const taken = (resourceVersion: number) => ({
      ...version('unmanaged', 'b', resourceVersion, []),
      annotations: { 'ecr-pull-secrets.io/managed': 'false' },
    });
    secretCache.set(version('own', 'a', 1, [1, 2]));
    secretCache.set(taken(2));
    assert.deepEqual([secretCache.get(namespace)?.isOptedOut, replaced], [true, []]);
    secretCache.updateFromRead(objectOf(version('unmanaged', 'b', 3, [])), false);
    assert.equal(secretCache.get(namespace)?.isOptedOut, false);
    secretCache.updateFromRead(objectOf(taken(4)), false);
    assert.equal(secretCache.get(namespace)?.isOptedOut, true);
    secretCache.remove(namespace, '5');
    assert.deepEqual(names(secretCache.deletedSecrets().get(namespace)?.hosts), all(1, 2));
    secretCache.set({ ...version('own', 'c', 6, [1]), annotations: taken(6).annotations });
    assert.equal(
      secretCache.get(namespace)?.isManaged,
      true,
      'the annotation alone does not make a Secret unmanaged',
    );
  });

  it('are not reported in an excluded namespace', () => {
    const replaced: string[] = [];
    const secretCache = new SecretCache(
      resolveRegistry,
      undefined,
      (name) => replaced.push(name),
      (name) => name === namespace,
    );
    secretCache.set(version('own', 'a', 1, [1]));
    secretCache.set(version('unmanaged', 'b', 2, []));
    assert.deepEqual([secretCache.get(namespace)?.isOptedOut, replaced], [true, []]);
  });

  it('are marked as untrusted if another writer changed them', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(version('modified', 'a', 1, [1]));
    secretCache.set(version('unmanaged', 'a', 2, []));
    assert.equal(secretCache.get(namespace)?.hasTrustedHosts, false);
    secretCache.remove(namespace, '3');
    assert.equal(secretCache.deletedSecrets().get(namespace)?.isIntact, false);
  });

  it('are reported once, even if the managed Secret was deleted before', () => {
    const replaced: string[] = [];
    const secretCache = new SecretCache(resolveRegistry, undefined, (name) => replaced.push(name));
    secretCache.set(version('unmanaged', 'x', 1, []));
    secretCache.set(version('own', 'a', 2, [1]));
    secretCache.set(version('relabelled', 'a', 3, [1]));
    assert.deepEqual(replaced, []);
    secretCache.set(version('unmanaged', 'a', 4, [1]));
    secretCache.set(version('unmanaged', 'a', 5, [1]));
    secretCache.updateFromRead(objectOf(version('unmanaged', 'a', 5, [1])), false);
    secretCache.replace([version('unmanaged', 'a', 5, [1])]);
    assert.deepEqual(replaced, [namespace]);
    secretCache.set(version('own', 'a', 6, [1]));
    secretCache.remove(namespace, '7');
    secretCache.updateFromRead(objectOf(version('unmanaged', 'b', 8, [])), false);
    assert.deepEqual(replaced, [namespace, namespace]);
  });
});

describe('the hosts of a Secret that is deleted or modified', () => {
  it('wait in the Secret that replaces it, even if the watch did not show the deletion', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(version('own', 'a', 1, [1, 2]));
    secretCache.set(version('own', 'b', 2, [3]));
    assert.deepEqual(names(secretCache.get(namespace)?.hosts), all(1, 2, 3));
    secretCache.remove(namespace, '3');
    secretCache.set(version('own', 'c', 4, [1]));
    assert.deepEqual(names(secretCache.get(namespace)?.hosts), all(1, 2, 3));
  });

  it('still wait after another replica, which does not know them, wrote the Secret first', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(version('own', 'a', 1, [1, 2]));
    secretCache.set(version('modified', 'a', 2, [1]));
    secretCache.set(version('own', 'a', 3, [1]));
    assert.deepEqual(names(secretCache.get(namespace)?.hosts), all(1, 2));
    secretCache.set(version('own', 'a', 4, [1, 2]));
    secretCache.set(version('own', 'a', 5, [1]));
    assert.deepEqual(
      names(secretCache.get(namespace)?.hosts),
      all(1),
      'a host that is removed from an intact Secret is forgotten',
    );
  });

  it('are removed by a write of this replica, which took them into account', () => {
    const secretCache = new SecretCache(resolveRegistry);
    secretCache.set(version('own', 'a', 1, [1, 2]));
    secretCache.set(version('modified', 'a', 2, [1]));
    secretCache.set(version('own', 'a', 3, [1]));
    secretCache.updateFromWrite(objectOf(version('own', 'a', 3, [1])));
    assert.deepEqual(names(secretCache.get(namespace)?.hosts), all(1));
    assert.equal(secretCache.get(namespace)?.isIntact, true);
  });
});

describe('the time since when a Secret is due', () => {
  it('is not postponed by a writer that keeps touching it', () => {
    let now = 1_000;
    const secretCache = new SecretCache(resolveRegistry, () => now);
    const at = (kind: Kind, of: readonly number[]) => {
      now += 1_000;
      secretCache.set(version(kind, 'a', now, of));
      return secretCache.get(namespace)?.observedAt;
    };
    assert.equal(at('own', [1]), 2_000);
    assert.equal(at('own', [1]), 2_000);
    assert.equal(at('relabelled', [1]), 4_000);
    assert.equal(at('modified', [2]), 4_000);
    assert.equal(at('own', [1, 2]), 6_000);
    assert.equal(at('own', [1]), 7_000);
  });
});

/** What the API server, the watch and reads of the program may show, in any order. */
type Step =
  | { readonly do: 'set' | 'read' | 'relist'; readonly kind: Kind; readonly recreated: boolean; of: number[] }
  | { readonly do: 'delete' | 'vanish' | 'reject' };

const accounts = (max: number) => fc.uniqueArray(fc.integer({ min: 1, max }), { maxLength: max });
const step = (of: fc.Arbitrary<number[]>): fc.Arbitrary<Step> =>
  fc.oneof(
    fc.record({
      do: fc.constantFrom('set', 'read', 'relist'),
      kind: fc.constantFrom<Kind>('own', 'relabelled', 'modified', 'unmanaged'),
      recreated: fc.boolean(),
      of,
    }),
    fc.record({ do: fc.constantFrom('delete', 'vanish', 'reject') }),
  );

/** Applies steps to a cache, and calls `after` with each version that was shown. */
function runSteps(
  steps: readonly Step[],
  after: (secretCache: SecretCache, shown: SecretMetadata | undefined, kind?: Kind) => void,
) {
  const secretCache = new SecretCache(resolveRegistry);
  let resourceVersion = 0;
  let uid = 0;
  for (const one of steps) {
    resourceVersion += 1;
    switch (one.do) {
      case 'delete':
        secretCache.remove(namespace, String(resourceVersion));
        after(secretCache, undefined);
        break;
      case 'vanish':
        secretCache.replace([]);
        after(secretCache, undefined);
        break;
      case 'reject':
        secretCache.reject({ namespace, uid: String(uid), resourceVersion: String(resourceVersion) });
        after(secretCache, undefined);
        break;
      default: {
        uid += one.recreated ? 1 : 0;
        const shown = version(one.kind, String(uid), resourceVersion, one.of);
        if (one.do === 'set') {
          secretCache.set(shown);
        } else if (one.do === 'read') {
          secretCache.updateFromRead(objectOf(shown), one.kind !== 'unmanaged');
        } else {
          secretCache.replace([shown]);
        }
        after(secretCache, shown, one.kind);
      }
    }
  }
}

/** The hosts that a namespace needs after each version: all that were ever named, except those that a write of the program removed. */
function modelOfNeeds() {
  let needed = new Set<string>();
  let before: { uid: string; named: Set<string> } | undefined;
  return (shown: SecretMetadata | undefined, kind: Kind | undefined): ReadonlySet<string> => {
    if (shown === undefined || kind === 'unmanaged') {
      before = undefined;
      return needed;
    }
    const named = new Set(Object.keys(JSON.parse(shown.annotations[hostsAnnotation] ?? '{}')));
    const isOwnUpdate = kind !== 'modified' && before?.uid === shown.uid;
    const left = isOwnUpdate ? before?.named.difference(named) : undefined;
    needed = needed.union(named).difference(left ?? new Set());
    before = { uid: shown.uid, named };
    return needed;
  };
}

describe('any sequence of changes to the Secret of a namespace', () => {
  it('loses no host except those that a write of the program removes', () => {
    const check = (steps: readonly Step[]) => {
      const needs = modelOfNeeds();
      runSteps(steps, (secretCache, shown, kind) => {
        const kept = secretCache.hostsOf(namespace);
        for (const host of needs(shown, kind)) {
          assert.ok(kept.has(host), `${host} was lost`);
        }
        const known = secretCache.get(namespace);
        assert.ok(known?.isManaged !== true || known.formerHosts.size === 0);
        assert.ok(known?.isManaged !== false || known.hosts.size === 0);
      });
    };
    fc.assert(fc.property(fc.array(step(accounts(6)), { maxLength: 20 }), check), { numRuns: 1000 });
  });

  it('keeps no more hosts than are read from an annotation', () => {
    const many = fc
      .tuple(fc.nat({ max: 3_000 }), fc.nat({ max: 260 }))
      .map(([from, count]) => Array.from({ length: count }, (_, index) => from + index));
    fc.assert(
      fc.property(fc.array(step(many), { maxLength: 12 }), (steps) => {
        runSteps(steps, (secretCache) => {
          const known = secretCache.get(namespace);
          const sizes = [
            known?.hosts,
            known?.formerHosts,
            secretCache.deletedSecrets().get(namespace)?.hosts,
          ];
          for (const hosts of sizes) {
            assert.ok((hosts?.size ?? 0) <= maxParsedHosts);
          }
        });
      }),
      { numRuns: 100 },
    );
  });
});
