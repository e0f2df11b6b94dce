import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Life, Moment, StoredLife } from '../../src/ecr/token-policy.ts';
import type { HostLives } from '../../src/pull-secrets/hosts-annotation.ts';
import type { KnownSecret } from '../../src/pull-secrets/secret-cache.ts';
import type { PlanRules, Trouble } from '../../src/renewal/plan-types.ts';
import { type Known, planInSteps } from '../../src/renewal/renewal-plan.ts';

const hour = 3_600_000;
const minute = 60_000;
const issued = Date.UTC(2026, 10, 23, 12);
const life: StoredLife = { issuedAt: issued, expiresAt: issued + 12 * hour };
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const west = '123456789012.dkr.ecr.us-west-2.amazonaws.com';
/** The longest that a replica may wait past half of a token's life. */
const longestDelay = 0.09 * 6 * hour;

function rules(changes: Partial<PlanRules> = {}): PlanRules {
  return {
    replica: 'a',
    freshness: { fraction: 0.5, floorMs: hour },
    startedAt: issued,
    identityOf: () => undefined,
    remembered: () => undefined,
    regionTrouble: () => undefined,
    namespaceTrouble: () => undefined,
    lastStart: () => undefined,
    ...changes,
  };
}

function secret(hosts: HostLives, changes: Partial<KnownSecret> = {}): KnownSecret {
  return {
    uid: 'u',
    resourceVersion: '1',
    ours: true,
    intact: true,
    formerHosts: new Map(),
    hosts,
    requestedAt: new Map(),
    learnedAt: 0,
    ...changes,
  };
}

function plan(known: Known, now: Moment, by: PlanRules) {
  const steps = planInSteps(known, now, by);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** What is planned for the one namespace `team-a` this long after its token was issued and seen. */
function planned(known: KnownSecret, after: number, changes: Partial<PlanRules> = {}, steady = after) {
  return plan({ secrets: [['team-a', known]], lost: [] }, { wall: issued + after, steady }, rules(changes));
}

const trouble: Trouble = {
  code: 'throttled',
  permanent: false,
  message: 'throttled',
  since: issued,
  at: issued + 7 * hour,
  retryAt: issued + 7 * hour + 2 * minute,
};

describe('a plan', () => {
  it('renews nothing before half of a token is used, and all within a tenth of the rest', () => {
    const one = secret(new Map([[east, life]]));
    assert.deepEqual(planned(one, 6 * hour - 1).due, []);
    const { due, nextAt } = planned(one, 6 * hour + longestDelay);
    assert.deepEqual(
      due.map(({ namespace, reason, hosts }) => ({ namespace, reason, hosts })),
      [{ namespace: 'team-a', reason: 'half-life', hosts: [east] }],
    );
    assert.equal(nextAt, Number.POSITIVE_INFINITY);
  });

  it('says when to look again, and plans it then', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 0, max: 6 }), (replica, hours) => {
        const one = secret(new Map([[east, life]]));
        const { nextAt } = planned(one, hours * hour - 1, { replica });
        const again = (at: number) => planned(one, at - issued, { replica }).due.length;
        assert.deepEqual([again(nextAt - 1), again(nextAt)], [0, 1]);
      }),
    );
  });

  it('spreads namespaces over minutes, in an order that is not the same for all replicas', () => {
    const namespaces = Array.from({ length: 1000 }, (_, index) => `team-${index}`);
    const whenOf = (replica: string) =>
      namespaces.map((namespace) => {
        const known: Known = { secrets: [[namespace, secret(new Map([[east, life]]))]], lost: [] };
        return plan(known, { wall: issued, steady: 0 }, rules({ replica })).nextAt - issued - 6 * hour;
      });
    const [a = [], b = [], c = []] = ['a', 'b', 'c'].map(whenOf);
    const perMinute = Map.groupBy(a, (at) => Math.floor(at / minute));
    assert.ok(Math.max(...[...perMinute.values()].map((all) => all.length)) < 100, 'no minute has a tenth');
    assert.ok(Math.max(...a) < longestDelay);
    const first = namespaces.map((_, index) => {
      const times = [a, b, c].map((all) => all[index] ?? 0);
      return times.indexOf(Math.min(...times));
    });
    for (const replica of [0, 1, 2]) {
      assert.ok(first.filter((one) => one === replica).length > 200, 'each is the first for its share');
    }
    const gaps = namespaces.map((_, index) => Math.abs((a[index] ?? 0) - (b[index] ?? 0)));
    assert.ok(gaps.filter((gap) => gap < 2_000).length < 20, 'few lie within the time of a write');
  });

  it('gives a host without a token one within seconds, and one whose token has ended at once', () => {
    assert.equal(planned(secret(new Map([[east, undefined]])), 3_000).due[0]?.reason, 'waiting');
    const late = planned(secret(new Map([[east, life]])), 13 * hour);
    assert.deepEqual([late.due[0]?.reason, late.due[0]?.endsAt], ['ended', life.expiresAt]);
  });

  it('mends what somebody else changed, with all of its hosts, and makes a deleted Secret anew', () => {
    const hosts = new Map([
      [east, life],
      [west, life],
    ]);
    const edited = planned(secret(hosts, { intact: false }), 3_000);
    assert.deepEqual([edited.due[0]?.reason, edited.due[0]?.hosts], ['edited', [east, west]]);
    const lost = plan(
      { secrets: [], lost: [['team-a', { hosts, intact: true, learnedAt: 0 }]] },
      { wall: issued, steady: 3_000 },
      rules(),
    );
    assert.deepEqual([lost.due[0]?.reason, lost.due[0]?.hosts], ['deleted', [east, west]]);
  });

  it('leaves a Secret that is not ours alone', () => {
    const foreign = secret(new Map([[east, undefined]]), { ours: false, intact: false });
    assert.deepEqual(planned(foreign, 24 * hour), { due: [], overdue: [], nextAt: Number.POSITIVE_INFINITY });
  });

  it('has another role ask anew for what was asked for before it began to run, and for nothing else', () => {
    const one = secret(new Map([[east, life]]));
    const role = { identityOf: () => 'role-b' };
    const before = { ...role, startedAt: issued + hour };
    assert.equal(planned(one, hour + longestDelay, before).due[0]?.reason, 'config-changed');
    assert.deepEqual(planned(one, hour + longestDelay, { ...role, startedAt: issued }).due, []);
    const same = secret(new Map([[east, { ...life, identity: 'role-b' }]]));
    assert.deepEqual(planned(same, hour + longestDelay, before).due, []);
  });

  it('takes the Secrets of a region along when there is a new token for it, unless they are young', () => {
    const one = secret(new Map([[east, life]]));
    const token = (age: number): Life => ({ issuedAt: issued + age, expiresAt: issued + age + 12 * hour });
    const along = (age: number) => {
      return planned(one, age + longestDelay, { remembered: () => token(age) }).due[0]?.reason;
    };
    assert.equal(along(3 * hour), 'alongside');
    assert.equal(along(2.9 * hour), undefined);
    const old = planned(one, 5 * hour, { remembered: () => token(3 * hour) });
    assert.deepEqual(old.due, [], 'a token that is no longer new takes nothing along');
  });

  it('notices by the steady clock that a token is half used, though the wall clock was set back', () => {
    const one = secret(new Map([[east, life]]));
    const { due } = planned(one, -hour, {}, 6 * hour + longestDelay);
    assert.equal(due[0]?.reason, 'clock');
  });

  it('waits while a region or a namespace is in trouble, says so, and goes on with the other hosts', () => {
    const both = secret(
      new Map([
        [east, life],
        [west, life],
      ]),
    );
    const regionTrouble = (host: string) => (host === east ? trouble : undefined);
    const waiting = planned(both, 7 * hour, { regionTrouble });
    assert.deepEqual(waiting.due[0]?.hosts, [west]);
    assert.deepEqual(
      waiting.overdue.map(({ host, endsAt }) => ({ host, endsAt })),
      [{ host: east, endsAt: life.expiresAt }],
    );
    assert.equal(waiting.nextAt, trouble.retryAt);
    assert.deepEqual(planned(both, 7 * hour + 2 * minute, { regionTrouble }).due[0]?.hosts, [east, west]);
    const alone = planned(both, 7 * hour, { namespaceTrouble: () => trouble });
    assert.deepEqual([alone.due, alone.overdue.length], [[], 2]);
  });

  it('tries again sooner as the end comes near, and at once where the clock was set back', () => {
    const one = secret(new Map([[east, life]]));
    const at = 12 * hour - 10 * minute;
    const failed = { ...trouble, at: issued + at, retryAt: issued + at + 5 * minute };
    const regionTrouble = () => failed;
    assert.equal(planned(one, at, { regionTrouble }).nextAt, issued + at + 30_000);
    assert.equal(planned(one, at - hour, { regionTrouble }).due.length, 1);
  });

  it('keeps hosts with a valid token apart from those without, and puts the first to expire first', () => {
    const ends = (minutes: number) => ({ issuedAt: issued, expiresAt: issued + minutes * minute });
    const secrets = [
      ['later', secret(new Map([[east, ends(20)]]))],
      ['sooner', secret(new Map([[east, ends(15)]]))],
      ['none', secret(new Map([[east, undefined]]))],
      ['expired', secret(new Map([[east, ends(5)]]))],
      [
        'both',
        secret(
          new Map([
            [west, undefined],
            [east, ends(16)],
          ]),
        ),
      ],
    ] as const;
    const { due } = plan({ secrets, lost: [] }, { wall: issued + 14 * minute, steady: 14 * minute }, rules());
    const ofKind = (wanted: string) =>
      due.filter(({ kind }) => kind === wanted).map(({ namespace, hosts }) => [namespace, ...hosts]);
    assert.deepEqual(ofKind('valid'), [
      ['sooner', east],
      ['both', east],
      ['later', east],
    ]);
    assert.deepEqual(ofKind('missing').slice(0, 1), [['expired', east]]);
    assert.deepEqual(ofKind('missing').slice(1).toSorted(), [
      ['both', west],
      ['none', east],
    ]);
  });

  it('reports of a Secret that somebody else changed no host, but that it cannot be repaired, once of each kind', () => {
    const hosts = new Map([
      [east, life],
      [west, undefined],
    ]);
    const edited = secret(hosts, { intact: false });
    assert.equal(planned(secret(hosts), 7 * hour, { regionTrouble: () => trouble }).overdue.length, 2);
    assert.deepEqual(planned(edited, 7 * hour, { regionTrouble: () => trouble }).overdue, []);
    const refused = planned(edited, 7 * hour, { namespaceTrouble: () => trouble });
    assert.deepEqual(
      refused.overdue.map(({ kind, host, endsAt }) => [kind, host, endsAt]),
      [
        ['valid', east, undefined],
        ['missing', west, undefined],
      ],
    );
  });

  it('does not make a valid token wait for a failure of hosts without one', () => {
    const one = secret(
      new Map([
        [east, life],
        [west, undefined],
      ]),
    );
    const namespaceTrouble: PlanRules['namespaceTrouble'] = (_namespace, kind) =>
      kind === 'missing' ? trouble : undefined;
    const { due } = planned(one, 7 * hour, { namespaceTrouble });
    assert.deepEqual(
      due.map(({ kind, hosts }) => [kind, ...hosts]),
      [['valid', east]],
    );
  });

  it('begins on each replica with others of those that end together', () => {
    const known: Known = {
      secrets: Array.from({ length: 300 }, (_, index) => [`team-${index}`, secret(new Map([[east, life]]))]),
      lost: [],
    };
    const late = { wall: issued + 7 * hour, steady: 7 * hour };
    const [a = [], b = []] = ['a', 'b'].map((replica) =>
      plan(known, late, rules({ replica })).due.map(({ namespace }) => namespace),
    );
    assert.deepEqual(a.toSorted(), b.toSorted());
    const both = a.slice(0, 50).filter((namespace) => b.slice(0, 50).includes(namespace));
    assert.ok(both.length < 25, `${both.length} of the first 50 are the same`);
  });
});
