import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ClockReading, StoredLifetime, Validity } from '../../src/ecr/token-policy.ts';
import type { HostLifetimes } from '../../src/pull-secrets/hosts-annotation.ts';
import type { KnownSecret } from '../../src/pull-secrets/secret-cache.ts';
import type { HostFailure, PlanRules } from '../../src/renewal/plan-types.ts';
import { type ClusterState, planInSteps } from '../../src/renewal/renewal-plan.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;
const issued = Date.UTC(2026, 10, 23, 12);
const life: StoredLifetime = { issuedAt: issued, expiresAt: issued + 12 * hourMs };
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const west = '123456789012.dkr.ecr.us-west-2.amazonaws.com';
/** The longest that a replica may wait past half of a token's life. */
const longestDelay = 0.09 * 6 * hourMs;

function rules(changes: Partial<PlanRules> = {}): PlanRules {
  return {
    replica: 'a',
    freshness: { fraction: 0.5, floorMs: hourMs },
    startedAt: issued,
    identityOf: () => undefined,
    cachedToken: () => undefined,
    regionFailure: () => undefined,
    namespaceFailure: () => undefined,
    lastStartAt: () => undefined,
    ...changes,
  };
}

function secret(hosts: HostLifetimes, changes: Partial<KnownSecret> = {}): KnownSecret {
  return {
    uid: 'u',
    resourceVersion: '1',
    isManaged: true,
    isIntact: true,
    formerHosts: new Map(),
    hosts,
    requestedAt: new Map(),
    observedAt: 0,
    ...changes,
  };
}

function plan(known: ClusterState, now: ClockReading, by: PlanRules) {
  const steps = planInSteps(known, now, by);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** What is planned for the one namespace `team-a` this long after its token was issued and seen. */
function planned(known: KnownSecret, after: number, changes: Partial<PlanRules> = {}, monotonicMs = after) {
  return plan(
    { secrets: [['team-a', known]], deleted: [] },
    { wallMs: issued + after, monotonicMs },
    rules(changes),
  );
}

const trouble: HostFailure = {
  code: 'throttled',
  permanent: false,
  message: 'throttled',
  since: issued,
  at: issued + 7 * hourMs,
  retryAt: issued + 7 * hourMs + 2 * minuteMs,
};

describe('a plan', () => {
  it('renews nothing before half of a token is used, and all within a tenth of the rest', () => {
    const one = secret(new Map([[east, life]]));
    assert.deepEqual(planned(one, 6 * hourMs - 1).due, []);
    const { due, nextAt } = planned(one, 6 * hourMs + longestDelay);
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
        const { nextAt } = planned(one, hours * hourMs - 1, { replica });
        const again = (at: number) => planned(one, at - issued, { replica }).due.length;
        assert.deepEqual([again(nextAt - 1), again(nextAt)], [0, 1]);
      }),
    );
  });

  it('spreads namespaces over minutes, in an order that is not the same for all replicas', () => {
    const namespaces = Array.from({ length: 1000 }, (_, index) => `team-${index}`);
    const whenOf = (replica: string) =>
      namespaces.map((namespace) => {
        const known: ClusterState = { secrets: [[namespace, secret(new Map([[east, life]]))]], deleted: [] };
        return (
          plan(known, { wallMs: issued, monotonicMs: 0 }, rules({ replica })).nextAt - issued - 6 * hourMs
        );
      });
    const [a = [], b = [], c = []] = ['a', 'b', 'c'].map(whenOf);
    const perMinute = Map.groupBy(a, (at) => Math.floor(at / minuteMs));
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
    const late = planned(secret(new Map([[east, life]])), 13 * hourMs);
    assert.deepEqual([late.due[0]?.reason, late.due[0]?.expiresAt], ['ended', life.expiresAt]);
  });

  it('mends what somebody else changed, with all of its hosts, and makes a deleted Secret anew', () => {
    const hosts = new Map([
      [east, life],
      [west, life],
    ]);
    const edited = planned(secret(hosts, { isIntact: false }), 3_000);
    assert.deepEqual([edited.due[0]?.reason, edited.due[0]?.hosts], ['edited', [east, west]]);
    const lost = plan(
      { secrets: [], deleted: [['team-a', { hosts, isIntact: true, observedAt: 0 }]] },
      { wallMs: issued, monotonicMs: 3_000 },
      rules(),
    );
    assert.deepEqual([lost.due[0]?.reason, lost.due[0]?.hosts], ['deleted', [east, west]]);
  });

  it('leaves a Secret that is not ours alone', () => {
    const foreign = secret(new Map([[east, undefined]]), { isManaged: false, isIntact: false });
    assert.deepEqual(planned(foreign, 24 * hourMs), {
      due: [],
      overdue: [],
      nextAt: Number.POSITIVE_INFINITY,
    });
  });

  it('has another role ask anew for what was asked for before it began to run, and for nothing else', () => {
    const one = secret(new Map([[east, life]]));
    const role = { identityOf: () => 'role-b' };
    const before = { ...role, startedAt: issued + hourMs };
    assert.equal(planned(one, hourMs + longestDelay, before).due[0]?.reason, 'config-changed');
    assert.deepEqual(planned(one, hourMs + longestDelay, { ...role, startedAt: issued }).due, []);
    const same = secret(new Map([[east, { ...life, identity: 'role-b' }]]));
    assert.deepEqual(planned(same, hourMs + longestDelay, before).due, []);
  });

  it('takes the Secrets of a region along when there is a new token for it, unless they are young', () => {
    const one = secret(new Map([[east, life]]));
    const token = (age: number): Validity => ({
      issuedAt: issued + age,
      expiresAt: issued + age + 12 * hourMs,
    });
    const along = (age: number) => {
      return planned(one, age + longestDelay, { cachedToken: () => token(age) }).due[0]?.reason;
    };
    assert.equal(along(3 * hourMs), 'alongside');
    assert.equal(along(2.9 * hourMs), undefined);
    const old = planned(one, 5 * hourMs, { cachedToken: () => token(3 * hourMs) });
    assert.deepEqual(old.due, [], 'a token that is no longer new takes nothing along');
  });

  it('notices by the steady clock that a token is half used, though the wall clock was set back', () => {
    const one = secret(new Map([[east, life]]));
    const { due } = planned(one, -hourMs, {}, 6 * hourMs + longestDelay);
    assert.equal(due[0]?.reason, 'clock');
  });

  it('waits while a region or a namespace is in trouble, says so, and goes on with the other hosts', () => {
    const both = secret(
      new Map([
        [east, life],
        [west, life],
      ]),
    );
    const regionFailure = (host: string) => (host === east ? trouble : undefined);
    const waiting = planned(both, 7 * hourMs, { regionFailure });
    assert.deepEqual(waiting.due[0]?.hosts, [west]);
    assert.deepEqual(
      waiting.overdue.map(({ host, expiresAt }) => ({ host, expiresAt })),
      [{ host: east, expiresAt: life.expiresAt }],
    );
    assert.equal(waiting.nextAt, trouble.retryAt);
    assert.deepEqual(planned(both, 7 * hourMs + 2 * minuteMs, { regionFailure }).due[0]?.hosts, [east, west]);
    const alone = planned(both, 7 * hourMs, { namespaceFailure: () => trouble });
    assert.deepEqual([alone.due, alone.overdue.length], [[], 2]);
  });

  it('tries again sooner as the end comes near, and at once where the clock was set back', () => {
    const one = secret(new Map([[east, life]]));
    const at = 12 * hourMs - 10 * minuteMs;
    const failed = { ...trouble, at: issued + at, retryAt: issued + at + 5 * minuteMs };
    const regionFailure = () => failed;
    assert.equal(planned(one, at, { regionFailure }).nextAt, issued + at + 30_000);
    assert.equal(planned(one, at - hourMs, { regionFailure }).due.length, 1);
  });

  it('keeps hosts with a valid token apart from those without, and puts the first to expire first', () => {
    const ends = (minutes: number) => ({ issuedAt: issued, expiresAt: issued + minutes * minuteMs });
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
    const { due } = plan(
      { secrets, deleted: [] },
      { wallMs: issued + 14 * minuteMs, monotonicMs: 14 * minuteMs },
      rules(),
    );
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
    const edited = secret(hosts, { isIntact: false });
    assert.equal(planned(secret(hosts), 7 * hourMs, { regionFailure: () => trouble }).overdue.length, 2);
    assert.deepEqual(planned(edited, 7 * hourMs, { regionFailure: () => trouble }).overdue, []);
    const refused = planned(edited, 7 * hourMs, { namespaceFailure: () => trouble });
    assert.deepEqual(
      refused.overdue.map(({ kind, host, expiresAt }) => [kind, host, expiresAt]),
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
    const namespaceFailure: PlanRules['namespaceFailure'] = (_namespace, kind) =>
      kind === 'missing' ? trouble : undefined;
    const { due } = planned(one, 7 * hourMs, { namespaceFailure });
    assert.deepEqual(
      due.map(({ kind, hosts }) => [kind, ...hosts]),
      [['valid', east]],
    );
  });

  it('begins on each replica with others of those that end together', () => {
    const known: ClusterState = {
      secrets: Array.from({ length: 300 }, (_, index) => [`team-${index}`, secret(new Map([[east, life]]))]),
      deleted: [],
    };
    const late = { wallMs: issued + 7 * hourMs, monotonicMs: 7 * hourMs };
    const [a = [], b = []] = ['a', 'b'].map((replica) =>
      plan(known, late, rules({ replica })).due.map(({ namespace }) => namespace),
    );
    assert.deepEqual(a.toSorted(), b.toSorted());
    const both = a.slice(0, 50).filter((namespace) => b.slice(0, 50).includes(namespace));
    assert.ok(both.length < 25, `${both.length} of the first 50 are the same`);
  });
});
