import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { SecretMetadata } from '../../src/kube/secret-metadata.ts';
import type { SecretObject } from '../../src/kube/secrets.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts, maxReadHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { dockerConfigKey, secretType } from '../../src/pull-secrets/ownership.ts';
import { SecretView } from '../../src/pull-secrets/secret-cache.ts';

const namespace = 'team-a';
const life = { issuedAt: Date.UTC(2026, 10, 23), expiresAt: Date.UTC(2026, 10, 24) };
const hostOf = (account: number) => `${100_000_000_000 + account}.dkr.ecr.us-east-1.amazonaws.com`;

type Kind = 'own' | 'relabelled' | 'edited' | 'unmanaged';

/** Metadata of a version of the Secret. */
function version(kind: Kind, uid: string, resourceVersion: number, accounts: readonly number[]) {
  const manager = kind === 'own' || kind === 'relabelled' ? productName : 'kubectl';
  return {
    ...{ namespace, uid, resourceVersion: String(resourceVersion) },
    labels: { [managedByLabel]: kind === 'own' || kind === 'edited' ? productName : 'Helm' },
    annotations: {
      [hostsAnnotation]: formatHosts(new Map(accounts.map((account) => [hostOf(account), life]))),
    },
    owners: [{ manager, data: [dockerConfigKey], annotations: [hostsAnnotation] }],
  } satisfies SecretMetadata;
}

function objectOf({ owners, ...metadata }: SecretMetadata): SecretObject {
  return { metadata: { ...metadata, name: 'ecr-pull-secrets' }, owners, type: secretType };
}

const names = (hosts: { keys(): Iterable<string> } | undefined) => [...(hosts?.keys() ?? [])].toSorted();
const all = (...accounts: number[]) => accounts.map(hostOf);

describe('the hosts of a managed Secret that an unmanaged one replaces', () => {
  it('are kept through later versions of that one and relists, and wait when the Secret is managed again', () => {
    const view = new SecretView();
    view.set(version('own', 'a', 1, [1, 2]));
    assert.equal(view.get(namespace)?.formerHosts.size, 0);
    view.set(version('unmanaged', 'b', 2, [7]));
    view.set(version('unmanaged', 'b', 3, []));
    view.replace([version('unmanaged', 'c', 4, [])]);
    const unmanaged = view.get(namespace);
    assert.deepEqual([unmanaged?.ours, unmanaged?.hosts.size], [false, 0]);
    assert.deepEqual(names(unmanaged?.formerHosts), all(1, 2));
    assert.equal(unmanaged?.hasOwnHosts, true);
    view.set(version('own', 'c', 5, [2, 3]));
    const managed = view.get(namespace);
    assert.deepEqual([names(managed?.hosts), managed?.formerHosts.size], [all(1, 2, 3), 0]);
    assert.deepEqual([managed?.hosts.get(hostOf(1)), managed?.hosts.get(hostOf(2))], [undefined, life]);
    assert.equal(managed?.intact, false, 'it is due, since it does not name all of them');
    view.stored(objectOf(version('own', 'c', 6, [1, 2, 3])));
    assert.equal(view.get(namespace)?.intact, true);
  });

  it('are lost ones when that one is deleted, and can be given up', () => {
    const view = new SecretView();
    view.set(version('own', 'a', 1, [1, 2]));
    view.remove(namespace, '2');
    view.set(version('unmanaged', 'b', 3, []));
    assert.deepEqual(names(view.get(namespace)?.formerHosts), all(1, 2));
    view.remove(namespace, '4');
    assert.deepEqual(names(view.lost().get(namespace)?.hosts), all(1, 2));
    assert.equal(view.lost().get(namespace)?.intact, true);
    view.set(version('unmanaged', 'c', 5, []));
    const { changes } = view;
    view.forget(namespace);
    assert.equal(view.get(namespace)?.formerHosts.size, 0);
    assert.notEqual(view.changes, changes);
    view.remove(namespace, '6');
    assert.equal(view.lost().size, 0);
  });

  it('are neither reported nor forgotten where the operator has taken the Secret over', () => {
    const replaced: string[] = [];
    const view = new SecretView(undefined, (name) => replaced.push(name));
    const taken = (resourceVersion: number) => ({
      ...version('unmanaged', 'b', resourceVersion, []),
      annotations: { 'ecr-pull-secrets.io/managed': 'false' },
    });
    view.set(version('own', 'a', 1, [1, 2]));
    view.set(taken(2));
    assert.deepEqual([view.get(namespace)?.handedOver, replaced], [true, []]);
    view.learn(objectOf(version('unmanaged', 'b', 3, [])), false);
    assert.equal(view.get(namespace)?.handedOver, false);
    view.learn(objectOf(taken(4)), false);
    assert.equal(view.get(namespace)?.handedOver, true);
    view.remove(namespace, '5');
    assert.deepEqual(names(view.lost().get(namespace)?.hosts), all(1, 2));
    view.set({ ...version('own', 'c', 6, [1]), annotations: taken(6).annotations });
    assert.equal(view.get(namespace)?.ours, true, 'the annotation alone takes nothing over');
  });

  it('are not reported in a namespace that the operator excluded', () => {
    const replaced: string[] = [];
    const view = new SecretView(
      undefined,
      (name) => replaced.push(name),
      (name) => name === namespace,
    );
    view.set(version('own', 'a', 1, [1]));
    view.set(version('unmanaged', 'b', 2, []));
    assert.deepEqual([view.get(namespace)?.handedOver, replaced], [true, []]);
  });

  it('of which another writer had written some are marked as such', () => {
    const view = new SecretView();
    view.set(version('edited', 'a', 1, [1]));
    view.set(version('unmanaged', 'a', 2, []));
    assert.equal(view.get(namespace)?.hasOwnHosts, false);
    view.remove(namespace, '3');
    assert.equal(view.lost().get(namespace)?.intact, false);
  });

  it('are reported once, also where the managed one was deleted before', () => {
    const replaced: string[] = [];
    const view = new SecretView(undefined, (name) => replaced.push(name));
    view.set(version('unmanaged', 'x', 1, []));
    view.set(version('own', 'a', 2, [1]));
    view.set(version('relabelled', 'a', 3, [1]));
    assert.deepEqual(replaced, []);
    view.set(version('unmanaged', 'a', 4, [1]));
    view.set(version('unmanaged', 'a', 5, [1]));
    view.learn(objectOf(version('unmanaged', 'a', 5, [1])), false);
    view.replace([version('unmanaged', 'a', 5, [1])]);
    assert.deepEqual(replaced, [namespace]);
    view.set(version('own', 'a', 6, [1]));
    view.remove(namespace, '7');
    view.learn(objectOf(version('unmanaged', 'b', 8, [])), false);
    assert.deepEqual(replaced, [namespace, namespace]);
  });
});

describe('the hosts of a Secret that is deleted or edited', () => {
  it('wait in the one that takes its place, also where the watch did not show that there was none', () => {
    const view = new SecretView();
    view.set(version('own', 'a', 1, [1, 2]));
    view.set(version('own', 'b', 2, [3]));
    assert.deepEqual(names(view.get(namespace)?.hosts), all(1, 2, 3));
    view.remove(namespace, '3');
    view.set(version('own', 'c', 4, [1]));
    assert.deepEqual(names(view.get(namespace)?.hosts), all(1, 2, 3));
  });

  it('wait though another replica, which does not know them, writes the Secret first', () => {
    const view = new SecretView();
    view.set(version('own', 'a', 1, [1, 2]));
    view.set(version('edited', 'a', 2, [1]));
    view.set(version('own', 'a', 3, [1]));
    assert.deepEqual(names(view.get(namespace)?.hosts), all(1, 2));
    view.set(version('own', 'a', 4, [1, 2]));
    view.set(version('own', 'a', 5, [1]));
    assert.deepEqual(names(view.get(namespace)?.hosts), all(1), 'a host that leaves an intact one is gone');
  });

  it('leave with our own write, since that took them into account', () => {
    const view = new SecretView();
    view.set(version('own', 'a', 1, [1, 2]));
    view.set(version('edited', 'a', 2, [1]));
    view.set(version('own', 'a', 3, [1]));
    view.stored(objectOf(version('own', 'a', 3, [1])));
    assert.deepEqual(names(view.get(namespace)?.hosts), all(1));
    assert.equal(view.get(namespace)?.intact, true);
  });
});

describe('what is due of a Secret', () => {
  it('is not postponed by a writer that touches it again and again', () => {
    let now = 1_000;
    const view = new SecretView(() => now);
    const at = (kind: Kind, of: readonly number[]) => {
      now += 1_000;
      view.set(version(kind, 'a', now, of));
      return view.get(namespace)?.learnedAt;
    };
    assert.equal(at('own', [1]), 2_000);
    assert.equal(at('own', [1]), 2_000);
    assert.equal(at('relabelled', [1]), 4_000);
    assert.equal(at('edited', [2]), 4_000);
    assert.equal(at('own', [1, 2]), 6_000);
    assert.equal(at('own', [1]), 7_000);
  });
});

/** What the API server, the watch and our own reads may show, in any order. */
type Step =
  | { readonly do: 'set' | 'read' | 'relist'; readonly kind: Kind; readonly recreated: boolean; of: number[] }
  | { readonly do: 'delete' | 'vanish' | 'reject' };

const accounts = (max: number) => fc.uniqueArray(fc.integer({ min: 1, max }), { maxLength: max });
const step = (of: fc.Arbitrary<number[]>): fc.Arbitrary<Step> =>
  fc.oneof(
    fc.record({
      do: fc.constantFrom('set', 'read', 'relist'),
      kind: fc.constantFrom<Kind>('own', 'relabelled', 'edited', 'unmanaged'),
      recreated: fc.boolean(),
      of,
    }),
    fc.record({ do: fc.constantFrom('delete', 'vanish', 'reject') }),
  );

/** Plays steps on a view; `after` sees each version that was shown. */
function play(
  steps: readonly Step[],
  after: (view: SecretView, shown: SecretMetadata | undefined, kind?: Kind) => void,
) {
  const view = new SecretView();
  let resourceVersion = 0;
  let uid = 0;
  for (const one of steps) {
    resourceVersion += 1;
    switch (one.do) {
      case 'delete':
        view.remove(namespace, String(resourceVersion));
        after(view, undefined);
        break;
      case 'vanish':
        view.replace([]);
        after(view, undefined);
        break;
      case 'reject':
        view.reject({ namespace, uid: String(uid), resourceVersion: String(resourceVersion) });
        after(view, undefined);
        break;
      default: {
        uid += one.recreated ? 1 : 0;
        const shown = version(one.kind, String(uid), resourceVersion, one.of);
        if (one.do === 'set') view.set(shown);
        else if (one.do === 'read') view.learn(objectOf(shown), one.kind !== 'unmanaged');
        else view.replace([shown]);
        after(view, shown, one.kind);
      }
    }
  }
}

/** What a namespace needs after each version: all hosts ever named, but those that left by a write of the program. */
function modelOfNeeds() {
  let needed = new Set<string>();
  let before: { uid: string; named: Set<string> } | undefined;
  return (shown: SecretMetadata | undefined, kind: Kind | undefined): ReadonlySet<string> => {
    if (shown === undefined || kind === 'unmanaged') {
      before = undefined;
      return needed;
    }
    const named = new Set(Object.keys(JSON.parse(shown.annotations[hostsAnnotation] ?? '{}')));
    const isOwnUpdate = kind !== 'edited' && before?.uid === shown.uid;
    const left = isOwnUpdate ? before?.named.difference(named) : undefined;
    needed = needed.union(named).difference(left ?? new Set());
    before = { uid: shown.uid, named };
    return needed;
  };
}

describe('whatever becomes of the Secret of a namespace', () => {
  it('no host is lost, but those that leave a Secret by a write of the program', () => {
    const check = (steps: readonly Step[]) => {
      const needs = modelOfNeeds();
      play(steps, (view, shown, kind) => {
        const kept = view.hostsOf(namespace);
        for (const host of needs(shown, kind)) assert.ok(kept.has(host), `${host} is lost`);
        const known = view.get(namespace);
        assert.ok(known?.ours !== true || known.formerHosts.size === 0);
        assert.ok(known?.ours !== false || known.hosts.size === 0);
      });
    };
    fc.assert(fc.property(fc.array(step(accounts(6)), { maxLength: 20 }), check), { numRuns: 1000 });
  });

  it('no more hosts are kept than are ever read', () => {
    const many = fc
      .tuple(fc.nat({ max: 3_000 }), fc.nat({ max: 260 }))
      .map(([from, count]) => Array.from({ length: count }, (_, index) => from + index));
    fc.assert(
      fc.property(fc.array(step(many), { maxLength: 12 }), (steps) => {
        play(steps, (view) => {
          const known = view.get(namespace);
          const sizes = [known?.hosts, known?.formerHosts, view.lost().get(namespace)?.hosts];
          for (const hosts of sizes) assert.ok((hosts?.size ?? 0) <= maxReadHosts);
        });
      }),
      { numRuns: 100 },
    );
  });
});
