import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { StoredFacts } from '../../src/certificates/certificate-state.ts';
import {
  authorityLifeMs,
  holding,
  newAuthority,
  newLeaf,
  newReplica,
  type Replica,
  rules,
  s,
  World,
} from './certificate-policy-model.ts';

/** A replica that was told nothing looks this often; an API server is behind by at most this much. */
const lagMs = rules.settleMs / 2;
const tickMs = 5 * s;

type Chance = (most: number) => number;

/** Numbers from 0 to `most`, one after the other, out of a list. */
function chanceOf(numbers: readonly number[]): Chance {
  let at = 0;
  return (most) => {
    at = (at + 1) % numbers.length;
    return (numbers[at] ?? 0) % (most + 1);
  };
}

// A run of so many steps does not get clearer by being shortened, and takes for ever to be.
const numbers = fc.noShrink(fc.array(fc.nat(1_000_000), { minLength: 500, maxLength: 500 }));

function assertGood(world: World): void {
  const { stored, now } = world;
  assert.ok(stored !== 'none' && stored.leaf !== undefined);
  const [newest] = stored.authorities;
  assert.ok(newest !== undefined && stored.authorityProblem === undefined);
  assert.ok(newest.beginsAt <= now && now <= newest.endsAt, 'the CA is valid');
  assert.ok(stored.leaf.beginsAt <= now && now <= stored.leaf.endsAt, 'the certificate is valid');
  assert.ok(world.bundle.includes(stored.leaf.authority ?? ''), 'its CA is published');
}

/** Lets time pass; in each tick every replica may take some steps, in any order. */
function live(world: World, replicas: readonly Replica[], ms: number, chance: Chance, check = () => {}) {
  const lookedAt = new Map(replicas.map((replica) => [replica, world.now]));
  for (const end = world.now + ms; world.now < end; world.now += tickMs) {
    for (let turn = chance(4); turn >= 0; turn -= 1) {
      const replica = replicas[chance(replicas.length - 1)];
      if (replica === undefined) continue;
      world.look(replica);
      lookedAt.set(replica, world.now);
      check();
    }
    for (const replica of replicas) {
      if (world.now - (lookedAt.get(replica) ?? 0) < lagMs) continue;
      world.look(replica);
      lookedAt.set(replica, world.now);
    }
    check();
  }
}

/** What every API server has to find, whether it is up to date or behind. */
function assertServed(world: World, replicas: readonly Replica[]): void {
  for (const { current } of replicas) {
    assert.ok(current !== undefined && world.now <= current.endsAt, 'what is served is valid');
    for (const bundle of [world.bundle, world.bundleAgo(lagMs)]) {
      assert.ok(bundle.includes(current.authority ?? ''), 'its CA is published');
    }
  }
}

/** Any state of the Secret, in facts. */
const anyStored = fc
  .record({
    ages: fc.array(fc.integer({ min: -2 * authorityLifeMs, max: 2 * authorityLifeMs }), { maxLength: 3 }),
    problem: fc.constantFrom(undefined, 'authority-key-bad' as const, 'authority-key-mismatch' as const),
    leafOf: fc.nat(3),
    leafAge: fc.integer({ min: -2 * rules.leafLifeMs, max: 2 * rules.leafLifeMs }),
    leaf: fc.constantFrom('good', 'lacks', 'none'),
  })
  .map(({ ages, problem, leafOf, leafAge, leaf }) => (now: number): StoredFacts => {
    const authorities = ages.map((age) => newAuthority(now - age));
    const made = newLeaf(authorities[leafOf], now - leafAge);
    const stored = holding(
      authorities,
      leaf === 'none' ? undefined : { ...made, lacks: leaf === 'lacks' ? ['x'] : [] },
    );
    return authorities.length > 0 ? { ...stored, authorityProblem: problem } : stored;
  });

describe('whatever the Secret and the caBundle hold', () => {
  it('the steps end, after a few, in a good state', () => {
    fc.assert(
      fc.property(
        fc.option(anyStored),
        fc.uniqueArray(fc.nat(4), { maxLength: 4 }),
        fc.boolean(),
        (stored, published, restarted) => {
          const world = new World();
          if (stored !== null) world.stored = stored(world.now);
          if (world.stored !== 'none') world.know(...world.stored.authorities);
          const ids = [...world.authorities.keys(), 'not-a-certificate', 'of-somebody-else'];
          world.know({ ...newAuthority(world.now), id: 'of-somebody-else' });
          world.publish(published.flatMap((index) => ids[index] ?? []));
          const replica = newReplica();
          if (!restarted) {
            replica.authority = newAuthority(world.now);
            replica.current = newLeaf(replica.authority, world.now);
            world.know(replica.authority);
          }
          let steps = 1;
          while (world.look(replica).action !== 'nothing' && steps < 9) steps += 1;
          assert.ok(steps <= 6, world.steps.map(({ action, reason }) => `${action}: ${reason}`).join());
          assertGood(world);
          live(world, [replica], rules.settleMs + 2 * rules.leafLifeMs, chanceOf([1, 2, 3]));
          assertGood(world);
          assert.deepEqual(replica.current?.lacks, []);
          assert.equal(replica.current?.id, world.stored !== 'none' && world.stored.leaf?.id);
          assert.ok(world.bundle.length <= 2, 'what was in use before is not trusted any more');
        },
      ),
      { numRuns: 500 },
    );
  });
});

/** Three replicas that have agreed on their first CA. */
function inService(chances: Parameters<typeof chanceOf>[0]) {
  const chance = chanceOf(chances);
  const world = new World();
  const replicas = [newReplica(), newReplica(), newReplica()];
  live(world, replicas, 2 * rules.settleMs, chance);
  return { chance, world, replicas };
}

describe('three replicas, over the lives of several CAs', () => {
  it('never serve what an API server could not trust, though they restart at any time', () => {
    fc.assert(
      fc.property(numbers, (chances) => {
        const { chance, world, replicas } = inService(chances);
        live(world, replicas, 3 * authorityLifeMs, chance, () => {
          assertServed(
            world,
            replicas.filter(({ current }) => current !== undefined),
          );
          const unlucky = replicas[chance(400)];
          if (unlucky !== undefined) Object.assign(unlucky, newReplica());
        });
        assertGood(world);
        const made = world.steps.filter(({ action }) => action === 'new-authority').length;
        assert.ok(made >= 3, `${made} changes of CA`);
        assert.equal(world.steps.filter(({ action }) => action === 'create').length, 1);
        assert.ok(world.bundle.length <= 2);
      }),
      { numRuns: 30 },
    );
  });

  it('nor when the Secret is deleted or spoilt again and again', () => {
    fc.assert(
      fc.property(numbers, (chances) => {
        const { chance, world, replicas } = inService(chances);
        for (let damage = 0; damage < 20; damage += 1) {
          spoil(world, chance(3));
          live(world, replicas, chance(2 * rules.leafLifeMs), chance, () => assertServed(world, replicas));
        }
        live(world, replicas, rules.settleMs + 2 * rules.leafLifeMs, chance);
        assertGood(world);
        assert.ok(world.bundle.length <= 2, 'one CA, or two where a change is under way');
      }),
      { numRuns: 50 },
    );
  });
});

function spoil(world: World, how: number): void {
  if (world.stored === 'none' || how === 0) {
    world.stored = 'none';
  } else if (how === 1) {
    world.stored = holding([], undefined);
  } else if (how === 2) {
    world.stored = { ...world.stored, authorityProblem: 'authority-key-mismatch' };
  } else {
    world.stored = holding(world.stored.authorities, undefined);
  }
}
