// One process manages the certificates; replicas serve the files that kubelets mount from the Secret, minutes late.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { PolicyRules } from '../../src/certificates/certificate-policy.ts';
import type { LeafFacts } from '../../src/certificates/certificate-state.ts';
import { mountedSpreadMs } from '../../src/certificates/managed-certificates.ts';
import {
  authorityLifeMs,
  holding,
  newReplica,
  type Replica,
  rules,
  s,
  World,
} from './certificate-policy-model.ts';

/** A kubelet updates a mounted Secret within its sync period and the delay of its cache: 1 to 2 minutes. */
const mountLagMs = 120 * s;
/** An API server is behind by at most this much. */
const lagMs = rules.settleMs / 2;
const tickMs = 5 * s;
const mounted: PolicyRules = { ...rules, spreadMs: mountedSpreadMs };

/** What a replica finds in its files. */
interface Mount {
  shows: LeafFacts | undefined;
  /** When it takes what the Secret holds at the latest. */
  updateBy: number;
}

type Chance = (most: number) => number;

const chances: fc.Arbitrary<Chance> = fc
  .noShrink(fc.array(fc.nat(1_000_000), { minLength: 500, maxLength: 500 }))
  .map((numbers) => {
    let at = 0;
    return (most) => {
      at = (at + 1) % numbers.length;
      return (numbers[at] ?? 0) % (most + 1);
    };
  });

class Installation {
  readonly world: World;
  readonly controller: Replica = newReplica();
  readonly mounts: Mount[] = Array.from({ length: 3 }, () => ({ shows: undefined, updateBy: 0 }));
  readonly #chance: Chance;

  constructor(theirs: PolicyRules, chance: Chance) {
    this.world = new World(theirs);
    this.#chance = chance;
    this.live(2 * mountLagMs, false);
  }

  /** Lets time pass. @param checked whether every API server has to trust what every replica shows */
  live(ms: number, checked = true): void {
    const { world } = this;
    for (const end = world.now + ms; world.now < end; world.now += tickMs) {
      const looks = this.#chance(6);
      for (let step = 0; step < looks || this.#chance(5) === 0; step += 1) {
        this.#mount();
        if (checked) this.#check();
        world.look(this.controller);
      }
      this.#mount();
      if (checked) this.#check();
    }
  }

  #mount(): void {
    const { stored, now } = this.world;
    for (const mount of this.mounts) {
      // a broken file is not served: the last good one stays
      const leaf = stored === 'none' ? undefined : stored.leaf;
      if (leaf === undefined || leaf.id === mount.shows?.id) mount.updateBy = now + mountLagMs;
      else if (now >= mount.updateBy || this.#chance(20) === 0) mount.shows = leaf;
    }
  }

  #check(): void {
    for (const { shows } of this.mounts) {
      assert.ok(shows !== undefined && this.world.now <= shows.endsAt, 'what is served is valid');
      for (const bundle of [this.world.bundle, this.world.bundleAgo(lagMs)]) {
        assert.ok(bundle.includes(shows.authority ?? ''), 'its CA is published');
      }
    }
  }

  spoil(): void {
    const { world } = this;
    const how = this.#chance(3);
    if (world.stored === 'none' || how === 0) world.stored = 'none';
    else if (how === 1) world.stored = holding([], undefined);
    else if (how === 2) world.stored = { ...world.stored, authorityProblem: 'authority-key-mismatch' };
    else world.stored = holding(world.stored.authorities, undefined);
  }
}

describe('replicas that serve mounted files', () => {
  it('never show what an API server could not trust, though the controller restarts at any time', () => {
    fc.assert(
      fc.property(chances, (chance) => {
        const installation = new Installation(mounted, chance);
        for (let restarts = 0; restarts < 40; restarts += 1) {
          installation.live(chance(300 * s));
          Object.assign(installation.controller, newReplica());
        }
        installation.live(2 * authorityLifeMs);
        const made = installation.world.steps.filter(({ action }) => action === 'new-authority').length;
        assert.ok(made >= 2, `${made} changes of CA`);
      }),
      { numRuns: 20 },
    );
  });

  it('nor where certificates live longer than the settings say now', () => {
    fc.assert(
      fc.property(chances, (chance) => {
        new Installation({ ...mounted, leafLifeMs: 60 * s }, chance).live(3 * authorityLifeMs);
      }),
      { numRuns: 20 },
    );
  });

  it('nor when the Secret is deleted or spoilt again and again', () => {
    fc.assert(
      fc.property(chances, (chance) => {
        const installation = new Installation(mounted, chance);
        for (let damage = 0; damage < 20; damage += 1) {
          installation.spoil();
          installation.live(chance(2 * rules.leafLifeMs));
        }
        installation.live(2 * rules.leafLifeMs + mounted.spreadMs);
        assert.ok(installation.world.bundle.length <= 2, 'one CA, or two where a change is under way');
      }),
      { numRuns: 30 },
    );
  });
});
