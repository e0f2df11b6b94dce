import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decide, mayServe } from '../../src/certificates/certificate-policy.ts';
import type {
  AuthorityFacts,
  LeafFacts,
  Published,
  StoredFacts,
} from '../../src/certificates/certificate-state.ts';
import { authorityLifeMs, holding, newAuthority, newLeaf, rules, s } from './certificate-policy-model.ts';

const now = 5_000_000 * s;
const authority = newAuthority(now - 1_000 * s);
const leaf = newLeaf(authority, now - 100 * s);
const good = holding([authority], leaf);

/** A bundle that has held these CAs for ever. */
function published(...authorities: readonly AuthorityFacts[]): Published {
  const ids = authorities.map(({ id }) => id);
  return { bundles: [{ ids, garbled: false }], forMs: new Map(ids.map((id) => [id, 1e9])) };
}

function stepFor(
  stored: StoredFacts | 'none' | 'foreign',
  how: {
    published?: Published;
    at?: number;
    elsewhere?: readonly AuthorityFacts[];
    served?: LeafFacts;
  } = {},
) {
  const all = typeof stored === 'object' ? stored.authorities : [];
  const { published: bundles = published(...all), at = now, elsewhere = [], served } = how;
  return decide({ stored, published: bundles, elsewhere, served, now: at }, rules);
}

function reasonFor(...args: Parameters<typeof stepFor>): string {
  const { step } = stepFor(...args);
  return `${step.action}: ${step.reason}`;
}

describe('a valid certificate in memory', () => {
  const trusted = { published: published(authority), elsewhere: [authority], served: leaf };
  it('is stored again beside a new CA where the Secret or its CA is lost', () => {
    assert.equal(reasonFor('none', trusted), 'recover: no-secret');
    assert.equal(reasonFor(holding([], undefined), trusted), 'recover: authority-missing');
  });
  it('is stored again where only the certificate is lost', () => {
    assert.equal(reasonFor(holding([authority], undefined), trusted), 'restore-leaf: leaf-missing');
  });
  it('is not used where its CA is kept nowhere, or it has expired', () => {
    const unknown = { ...trusted, elsewhere: [], published: published() };
    assert.equal(reasonFor('none', unknown), 'create: no-secret');
    const late = { ...trusted, at: leaf.endsAt + s };
    assert.equal(reasonFor('none', late), 'create: no-secret');
    assert.equal(reasonFor(holding([authority], undefined), late), 'reissue-leaf: leaf-missing');
  });
});

describe('what is done for a Secret', () => {
  const expired = newAuthority(now - 2 * authorityLifeMs);
  const future = newAuthority(now + 1_000 * s);
  const other = newAuthority(now - 2_000 * s);
  const cases: [string, StoredFacts | 'none' | 'foreign', string][] = [
    ['that is good', good, 'nothing: all-well'],
    ['that is not there', 'none', 'create: no-secret'],
    ['that somebody else made', 'foreign', 'nothing: foreign-secret'],
    ['that is empty', holding([], undefined), 'create: authority-missing'],
    ['without the CA of a good certificate', holding([], leaf), 'create: authority-missing'],
    [
      'whose CA has no key, with a good certificate',
      { ...good, authorityProblem: 'authority-key-bad' },
      'new-authority: authority-key-bad',
    ],
    ['whose CA has expired', holding([expired], newLeaf(expired, now - s)), 'create: authority-expired'],
    ['whose CA is of the future', holding([future], undefined), 'create: authority-not-yet-valid'],
    ['without a certificate', holding([authority], undefined), 'reissue-leaf: leaf-missing'],
    [
      'with the certificate of another CA',
      holding([authority], newLeaf(other, now)),
      'reissue-leaf: leaf-of-unknown-authority',
    ],
    [
      'whose certificate has expired',
      holding([authority], newLeaf(authority, now - 700 * s)),
      'reissue-leaf: leaf-expired',
    ],
    [
      'whose certificate lacks a name',
      holding([authority], { ...leaf, lacks: ['a'] }),
      'reissue-leaf: leaf-lacks-names',
    ],
    [
      'whose certificate is old',
      holding([authority], newLeaf(authority, now - 401 * s)),
      'reissue-leaf: leaf-due',
    ],
    [
      'whose certificate is not quite old',
      holding([authority], newLeaf(authority, now - 399 * s)),
      'nothing: all-well',
    ],
  ];
  for (const [what, stored, expected] of cases) {
    it(`${what}: ${expected}`, () => assert.equal(reasonFor(stored), expected));
  }

  it('made anew keeps the CAs that are in use, and neither expired nor too many ones', () => {
    const { step } = stepFor('none', { elsewhere: [authority, expired, authority, other] });
    assert.deepEqual('keep' in step && step.keep, [authority.id, other.id]);
    const many = Array.from({ length: 9 }, () => newAuthority(now));
    const flooded = stepFor('none', { elsewhere: many }).step;
    assert.equal('keep' in flooded && flooded.keep.length, 8);
  });
});

describe('what is done for a caBundle', () => {
  const other = newAuthority(now);
  const bundle = (ids: readonly string[], garbled = false): Published => ({
    bundles: [
      { ids: [authority.id], garbled: false },
      { ids, garbled },
    ],
    forMs: new Map(),
  });
  const cases: [string, Published, string][] = [
    ['that is empty', bundle([]), 'publish: bundle-empty'],
    ['that is garbage', bundle([], true), 'publish: bundle-garbled'],
    ['with garbage beside the CA', bundle([authority.id], true), 'publish: bundle-garbled'],
    ['of another CA', bundle([other.id]), 'publish: bundle-lacks-authority'],
    ['of one CA too many', bundle([authority.id, other.id]), 'publish: bundle-holds-others'],
    ['that is good', bundle([authority.id]), 'nothing: all-well'],
    ['of no configuration', 'nowhere', 'nothing: all-well'],
    ['that cannot be read', 'unknown', 'nothing: all-well'],
  ];
  for (const [what, seen, expected] of cases) {
    it(`${what}: ${expected}`, () => assert.equal(reasonFor(good, { published: seen }), expected));
  }
});

describe('a change of CA', () => {
  const at = authority.issuedAt + (authorityLifeMs * 2) / 3;
  const old = newLeaf(authority, at - 100 * s);
  const newest = newAuthority(at);
  const both = holding([newest, authority], old);
  const afterMs = (ms: number): Published => ({
    bundles: [{ ids: [newest.id, authority.id], garbled: false }],
    forMs: new Map([
      [authority.id, 1e9],
      [newest.id, ms],
    ]),
  });

  it('begins at two thirds of its life, with both in the bundle', () => {
    assert.equal(reasonFor(holding([authority], old), { at: at - 1 }), 'nothing: all-well');
    const { step } = stepFor(holding([authority], old), { at });
    assert.deepEqual(step, { action: 'new-authority', reason: 'authority-due', keep: [authority.id] });
  });

  it('does not begin where nobody knows what is published', () => {
    assert.equal(reasonFor(holding([authority], old), { at, published: 'unknown' }), 'nothing: all-well');
  });

  it('publishes both before anything else', () => {
    assert.equal(reasonFor(both, { at, published: published(authority) }), 'publish: bundle-lacks-authority');
  });

  it('leaves the certificate until the new CA has settled, and says when that is', () => {
    const { step, lookAgainAt } = stepFor(both, { at, published: afterMs(rules.settleMs - 1) });
    assert.deepEqual([step.action, lookAgainAt], ['nothing', at + 1]);
    const later = reasonFor(both, { at, published: afterMs(rules.settleMs) });
    assert.equal(later, 'reissue-leaf: authority-changed');
  });

  it('keeps the old CA until the last certificate of it has ended', () => {
    const changed = holding([newest, authority], newLeaf(newest, at + 400 * s));
    const dropAt = newest.issuedAt + rules.leafLifeMs;
    assert.equal(stepFor(changed, { at: dropAt - 1 }).lookAgainAt, dropAt);
    assert.equal(reasonFor(changed, { at: dropAt - 1 }), 'nothing: all-well');
    assert.equal(reasonFor(changed, { at: dropAt }), 'drop-old-authority: old-authority-unused');
  });

  it('gives every replica the time to change over, though it came late', () => {
    const late = newLeaf(newest, newest.issuedAt + 900 * s);
    const changed = holding([newest, authority], late);
    const dropAt = late.issuedAt + 2 * rules.settleMs;
    assert.equal(reasonFor(changed, { at: dropAt - 1 }), 'nothing: all-well');
    assert.equal(reasonFor(changed, { at: dropAt }), 'drop-old-authority: old-authority-unused');
  });
});

describe('whether a stored certificate is served', () => {
  const newest = newAuthority(now);
  const next = newLeaf(newest, now);
  const may = (current: LeafFacts | undefined, seen: Published, candidate = next) =>
    mayServe(current, candidate, { published: seen, now }, rules);
  const forMs = (ms: number): Published => ({
    bundles: [],
    forMs: new Map([
      [authority.id, 1e9],
      [newest.id, ms],
    ]),
  });

  it('where there is nothing else, or what there is has ended', () => {
    assert.equal(may(undefined, forMs(0)), true);
    assert.equal(may(newLeaf(authority, now - 700 * s), forMs(0)), true);
  });

  it('of a new CA only once that has settled', () => {
    assert.equal(may(leaf, forMs(rules.settleMs - 1)), false);
    assert.equal(may(leaf, forMs(rules.settleMs)), true);
    assert.equal(may(leaf, published(authority)), false);
    assert.equal(may(leaf, 'unknown'), false);
  });

  it('of a new CA at once where the old one is not in the bundle any more', () => {
    assert.equal(may(leaf, { bundles: [], forMs: new Map([[newest.id, 0]]) }), true);
  });

  it('of the same CA, whatever is known', () => {
    assert.equal(may(leaf, 'unknown', newLeaf(authority, now)), true);
  });

  it('never where it is not valid, or no CA beside it has signed it', () => {
    assert.equal(may(undefined, 'nowhere', newLeaf(newest, now - 700 * s)), false);
    assert.equal(may(undefined, 'nowhere', newLeaf(undefined, now)), false);
  });
});
