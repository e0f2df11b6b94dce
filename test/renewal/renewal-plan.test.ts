// Tests which hosts are due or overdue, and when the next one is due.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultDecision } from '../../src/ecr/identity.ts';
import { unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver } from '../../src/ecr/identity-rules.ts';
import type { ClockReading, StoredLifetime, Validity } from '../../src/ecr/token-policy.ts';
import type { HostLifetimes } from '../../src/pull-secrets/hosts-annotation.ts';
import type { CachedSecret } from '../../src/pull-secrets/secret-cache.ts';
import type { HostFailure, PlanRules } from '../../src/renewal/plan-types.ts';
import { type ClusterState, planInSteps } from '../../src/renewal/renewal-plan.ts';
import { allow, denied, unresolved } from '../support/identities.ts';
import { registryOfHost } from '../support/registries.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;
const issued = Date.UTC(2026, 10, 23, 12);
const lifetime: StoredLifetime = { issuedAt: issued, expiresAt: issued + 12 * hourMs };
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const west = '123456789012.dkr.ecr.us-west-2.amazonaws.com';
/** The longest delay of a replica after half of a token's lifetime, in ms. */
const maxDelayMs = 0.09 * 6 * hourMs;

function rules(changes: Partial<PlanRules> = {}): PlanRules {
  return {
    replica: 'a',
    freshness: { fraction: 0.5, floorMs: hourMs },
    startedAt: issued - hourMs,
    identityOf: () => defaultDecision,
    identityChangedAt: () => undefined,
    cachedToken: () => undefined,
    regionFailure: () => undefined,
    namespaceFailure: () => undefined,
    lastStartAt: () => undefined,
    ...changes,
  };
}

function secret(hosts: HostLifetimes, changes: Partial<CachedSecret> = {}): CachedSecret {
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
    if (step.done === true) {
      return step.value;
    }
  }
}

/** Plans the namespace `team-a` so many ms after its token was issued and observed. */
function planned(known: CachedSecret, after: number, changes: Partial<PlanRules> = {}, monotonicMs = after) {
  return plan(
    { secrets: [['team-a', known]], deleted: [] },
    { wallMs: issued + after, monotonicMs },
    rules(changes),
  );
}

const failure: HostFailure = {
  code: 'throttled',
  permanent: false,
  message: 'throttled',
  since: issued,
  at: issued + 7 * hourMs,
  retryAt: issued + 7 * hourMs + 2 * minuteMs,
};

describe('renewal plan', () => {
  it('renews a token not before half of its lifetime, and within a tenth of the remaining half', () => {
    const one = secret(new Map([[east, lifetime]]));
    assert.deepEqual(planned(one, 6 * hourMs - 1).due, []);
    const { due, nextAt } = planned(one, 6 * hourMs + maxDelayMs);
    assert.deepEqual(
      due.map(({ namespace, reason, hosts }) => ({ namespace, reason, hosts })),
      [{ namespace: 'team-a', reason: 'scheduled', hosts: [east] }],
    );
    assert.equal(nextAt, Number.POSITIVE_INFINITY);
  });

  it('returns the time at which the next host becomes due', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 0, max: 6 }), (replica, hours) => {
        const one = secret(new Map([[east, lifetime]]));
        const { nextAt } = planned(one, hours * hourMs - 1, { replica });
        const again = (at: number) => planned(one, at - issued, { replica }).due.length;
        assert.deepEqual([again(nextAt - 1), again(nextAt)], [0, 1]);
      }),
    );
  });

  it('spreads namespaces over minutes, in a different order in each replica', () => {
    const namespaces = Array.from({ length: 1000 }, (_, index) => `team-${index}`);
    const whenOf = (replica: string) =>
      namespaces.map((namespace) => {
        const known: ClusterState = {
          secrets: [[namespace, secret(new Map([[east, lifetime]]))]],
          deleted: [],
        };
        return (
          plan(known, { wallMs: issued, monotonicMs: 0 }, rules({ replica })).nextAt - issued - 6 * hourMs
        );
      });
    const [a = [], b = [], c = []] = ['a', 'b', 'c'].map(whenOf);
    const perMinute = Map.groupBy(a, (at) => Math.floor(at / minuteMs));
    assert.ok(
      Math.max(...[...perMinute.values()].map((all) => all.length)) < 100,
      'no minute has a tenth of the namespaces',
    );
    assert.ok(Math.max(...a) < maxDelayMs);
    const first = namespaces.map((_, index) => {
      const times = [a, b, c].map((all) => all[index] ?? 0);
      return times.indexOf(Math.min(...times));
    });
    for (const replica of [0, 1, 2]) {
      assert.ok(
        first.filter((one) => one === replica).length > 200,
        'each replica is the first for its share',
      );
    }
    const gaps = namespaces.map((_, index) => Math.abs((a[index] ?? 0) - (b[index] ?? 0)));
    assert.ok(
      gaps.filter((gap) => gap < 2_000).length < 20,
      'few are due in two replicas within the time of a write',
    );
  });

  it('renews a host without a token within seconds, and one with an expired token at once', () => {
    assert.equal(planned(secret(new Map([[east, undefined]])), 3_000).due[0]?.reason, 'missing-token');
    const late = planned(secret(new Map([[east, lifetime]])), 13 * hourMs);
    assert.deepEqual([late.due[0]?.reason, late.due[0]?.expiresAt], ['expired', lifetime.expiresAt]);
  });

  it('repairs an edited Secret with all of its hosts, and restores a deleted one', () => {
    const hosts = new Map([
      [east, lifetime],
      [west, lifetime],
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

  it('restores a deleted Secret while ECR fails, but not before the backoff of its own failed writes', () => {
    const state: ClusterState = {
      secrets: [],
      deleted: [['team-a', { hosts: new Map([[east, lifetime]]), isIntact: true, observedAt: 0 }]],
    };
    const now = { wallMs: failure.at + 1, monotonicMs: 3_000 };
    const dueWith = (changes: Partial<PlanRules>) => plan(state, now, rules(changes)).due.length;
    assert.equal(dueWith({ regionFailure: () => failure }), 1);
    assert.equal(dueWith({ namespaceFailure: () => failure }), 0);
  });

  it('skips an unmanaged Secret', () => {
    const unmanaged = secret(new Map([[east, undefined]]), { isManaged: false, isIntact: false });
    assert.deepEqual(planned(unmanaged, 24 * hourMs), {
      due: [],
      overdue: [],
      nextAt: Number.POSITIVE_INFINITY,
      lateSince: Number.POSITIVE_INFINITY,
    });
  });

  it('knows since when a renewal is late: by the lifetime of the token, also after it has expired', () => {
    const one = secret(new Map([[east, lifetime]]));
    const { nextAt } = planned(one, 0);
    assert.equal(planned(one, nextAt - issued - 1).lateSince, Number.POSITIVE_INFINITY);
    for (const at of [nextAt, nextAt + hourMs, issued + 13 * hourMs]) {
      assert.equal(planned(one, at - issued).lateSince, nextAt);
    }
    const failing = { regionFailure: () => failure };
    assert.equal(planned(one, 8 * hourMs, failing).lateSince, nextAt, 'also while it backs off');
    const unknown = { identityOf: () => unresolved };
    assert.equal(planned(one, 8 * hourMs, unknown).lateSince, nextAt, 'also if nothing is attempted');
  });

  it('counts no renewal as late that others can make up, or that nobody wants', () => {
    const one = secret(new Map([[east, lifetime]]));
    const isLate = (known: CachedSecret, changes: Partial<PlanRules> = {}) =>
      planned(known, 8 * hourMs, changes).lateSince !== Number.POSITIVE_INFINITY;
    assert.equal(isLate(one), true);
    assert.equal(isLate(secret(new Map([[east, undefined]]))), false, 'there was never a token');
    assert.equal(isLate({ ...one, isIntact: false }), false, 'another writer wrote the lifetime');
    assert.equal(isLate(one, { identityOf: () => denied }), false);
  });

  it('renews tokens of another role that were issued before the start, and no others', () => {
    const one = secret(new Map([[east, lifetime]]));
    const role = { identityOf: () => allow('role-b') };
    const before = { ...role, startedAt: issued + hourMs };
    assert.equal(planned(one, hourMs + maxDelayMs, before).due[0]?.reason, 'role-changed');
    assert.deepEqual(planned(one, hourMs + maxDelayMs, { ...role, startedAt: issued - hourMs }).due, []);
    const same = secret(new Map([[east, { ...lifetime, identity: 'role-b' }]]));
    assert.deepEqual(planned(same, hourMs + maxDelayMs, before).due, []);
  });

  it('renews a token of another role that a replica stored which a rolling update then stopped', () => {
    const one = secret(new Map([[east, lifetime]]));
    const changes = { identityOf: () => allow('role-b'), startedAt: issued - minuteMs };
    const { due, nextAt } = planned(one, 2 * minuteMs, changes);
    assert.deepEqual([due, nextAt], [[], issued + 3 * minuteMs], 'the other replica may still run');
    assert.equal(planned(one, 3 * minuteMs, changes).due[0]?.reason, 'role-changed');
    const late = { ...changes, startedAt: issued - 5 * minuteMs };
    assert.deepEqual(planned(one, hourMs, late).due, [], 'a newer replica stored it');
  });

  it('renews a token of another identity within seconds after the facts of its namespace changed', () => {
    const one = secret(new Map([[east, { ...lifetime, identity: 'role-a' }]]));
    const seenAt = issued + hourMs;
    const changed = { identityOf: () => allow('role-b'), identityChangedAt: () => seenAt };
    const before = planned(one, hourMs - 1, { identityOf: () => allow('role-b') });
    assert.deepEqual(before.due, [], 'another replica knows other facts');
    const { due, nextAt } = planned(one, hourMs, changed);
    assert.deepEqual(due, [], 'the replicas act one after the other');
    assert.ok(nextAt > seenAt && nextAt <= seenAt + 3_000, `${nextAt - seenAt} ms`);
    assert.equal(planned(one, hourMs + 3_000, changed).due[0]?.reason, 'role-changed');
    const times = ['a', 'b', 'c'].map((replica) => planned(one, hourMs, { ...changed, replica }).nextAt);
    assert.equal(new Set(times).size, 3);
  });

  it('keeps a token of another identity that was stored after the facts of its namespace changed', () => {
    const identityChangedAt = () => issued - hourMs;
    const one = secret(new Map([[east, { ...lifetime, identity: 'role-a' }]]));
    assert.deepEqual(planned(one, hourMs, { identityOf: () => allow('role-b'), identityChangedAt }).due, []);
  });

  it('renews a token that was issued and observed in the very millisecond in which the facts changed', () => {
    const one = secret(new Map([[east, { ...lifetime, identity: 'role-a' }]]));
    const changed = { identityOf: () => allow('role-b'), identityChangedAt: () => issued };
    assert.equal(planned(one, 3_000, changed).due[0]?.reason, 'role-changed');
  });

  it('renews a token by a clock ahead that was observed before the facts of its namespace changed', () => {
    const ahead = { issuedAt: issued + 2 * hourMs, expiresAt: issued + 14 * hourMs, identity: 'role-a' };
    const changed = { identityOf: () => allow('role-b'), identityChangedAt: () => issued + hourMs };
    const one = secret(new Map([[east, ahead]]));
    assert.equal(planned(one, hourMs + 3_000, changed).due[0]?.reason, 'role-changed');
  });

  it('acts at once on a change of the facts that it saw before the clock was set back', () => {
    const one = secret(new Map([[east, { ...lifetime, identity: 'role-a' }]]));
    const changed = { identityOf: () => allow('role-b'), identityChangedAt: () => issued + 2 * hourMs };
    assert.equal(planned(one, hourMs, changed, 3 * hourMs).due[0]?.reason, 'role-changed');
  });

  it('does not wait for what failed before the facts changed, except for writes', () => {
    const one = secret(new Map([[east, { ...lifetime, identity: 'role-a' }]]));
    const at = issued + hourMs;
    const dueAfter = (cause: 'token' | 'write') =>
      planned(one, hourMs + 3_000, {
        identityOf: () => allow('role-b'),
        identityChangedAt: () => at,
        namespaceFailure: () => ({ ...failure, cause, since: at - 1, at: at - 1, retryAt: at + hourMs }),
      }).due.length;
    assert.deepEqual([dueAfter('token'), dueAfter('write')], [1, 0]);
  });

  it('removes denied hosts within seconds, also with valid tokens, and reports no failure', () => {
    const identityChangedAt = () => issued + hourMs;
    const identityOf = (_namespace: string, host: string) => (host === east ? denied : allow());
    const hosts = new Map([
      [east, lifetime],
      [west, lifetime],
    ]);
    const changes = { identityOf, identityChangedAt, regionFailure: () => failure };
    const { due, overdue } = planned(secret(hosts), hourMs + 3_000, changes);
    assert.deepEqual(due, [
      { namespace: 'team-a', kind: 'valid', reason: 'denied', hosts: [east], expiresAt: lifetime.expiresAt },
    ]);
    assert.deepEqual(overdue, []);
    const waiting = secret(new Map([[east, undefined]]));
    assert.deepEqual(
      planned(waiting, hourMs + 3_000, changes).due.map(({ kind, reason }) => [kind, reason]),
      [['missing', 'denied']],
    );
  });

  it('reports a denied host only while the write that removes it fails', () => {
    const one = secret(new Map([[east, lifetime]]));
    const failing = (cause: 'token' | 'write') =>
      planned(one, 7 * hourMs, {
        identityOf: () => denied,
        namespaceFailure: () => ({ ...failure, cause, code: 'forbidden' }),
      });
    assert.deepEqual(
      failing('write').overdue.map(({ host, failure: { code } }) => [host, code]),
      [[east, 'forbidden']],
    );
    assert.deepEqual([failing('token').overdue, failing('token').due.length], [[], 1]);
  });

  it('restores a deleted Secret without its denied hosts', () => {
    const identityOf = (_namespace: string, host: string) => (host === east ? denied : allow());
    const hosts = new Map([
      [east, lifetime],
      [west, lifetime],
    ]);
    const deleted = (all: HostLifetimes) =>
      plan(
        { secrets: [], deleted: [['team-a', { hosts: all, isIntact: true, observedAt: 0 }]] },
        { wallMs: issued + hourMs, monotonicMs: hourMs },
        rules({ identityOf }),
      ).due.map((of) => of.hosts);
    assert.deepEqual(deleted(hosts), [[west]]);
    assert.deepEqual(deleted(new Map([[east, lifetime]])), []);
  });

  it('renews no host whose identity is not known, and reports it as failing since then', () => {
    const expired = { ...lifetime, expiresAt: issued + hourMs };
    for (const stored of [undefined, lifetime, expired]) {
      const one = secret(new Map([[east, stored]]));
      const changes = { identityOf: () => unresolved, identityChangedAt: () => issued + 2 * hourMs };
      const { due, overdue } = planned(one, 7 * hourMs, changes);
      assert.deepEqual(due, []);
      assert.deepEqual(
        overdue.map(({ host, failure: { code, permanent, since, message } }) => ({
          ...{ host, code, permanent, since, message },
        })),
        [
          {
            host: east,
            code: 'service-account-missing',
            permanent: true,
            since: issued + 2 * hourMs,
            message:
              'ServiceAccount team-a/ecr-pull does not exist, and registries[1].webIdentity needs it. ' +
              'Create the ServiceAccount with the annotation of its role.',
          },
        ],
      );
    }
  });

  it('repairs an edited Secret although the identity of its hosts is not known', () => {
    const hosts = new Map([
      [east, undefined],
      [west, lifetime],
    ]);
    const edited = secret(hosts, { isIntact: false, hasTrustedHosts: true });
    const { due, overdue } = planned(edited, 7 * hourMs, { identityOf: () => unresolved });
    assert.deepEqual(
      due.map(({ kind, reason, hosts: names }) => [kind, reason, names]),
      [
        ['valid', 'edited', [west]],
        ['missing', 'edited', [east]],
      ],
    );
    assert.equal(overdue.length, 2);
  });

  it('reports nothing that another writer claims about hosts whose identity is not known', () => {
    const edited = secret(new Map([[east, lifetime]]), { isIntact: false, hasTrustedHosts: false });
    assert.deepEqual(planned(edited, hourMs, { identityOf: () => unresolved }).overdue, []);
  });

  it('plans 10,000 namespaces with an identity each, in steps of a few milliseconds', () => {
    const resolve = createIdentityResolver(
      [{ roleArn: 'arn:aws:iam::123456789012:role/ecr-{namespace}', sessionTags: { team: '{namespace}' } }],
      unknownFacts,
    );
    const registry = registryOfHost(east);
    const secrets = Array.from({ length: 10_000 }, (_, index): [string, CachedSecret] => {
      const decision = resolve(`team-${index}`, registry);
      const identity = decision.access === 'allowed' ? (decision.identity.fingerprint ?? '') : '';
      return [`team-${index}`, secret(new Map([[east, { ...lifetime, identity }]]))];
    });
    const by = rules({ identityOf: (namespace) => resolve(namespace, registry), startedAt: issued + 1 });
    const steps = planInSteps({ secrets, deleted: [] }, { wallMs: issued + hourMs, monotonicMs: hourMs }, by);
    const durations: number[] = [];
    for (let done: boolean | undefined; done !== true; ) {
      const before = process.cpuUsage();
      done = steps.next().done;
      const { user, system } = process.cpuUsage(before);
      durations.push((user + system) / 1_000);
    }
    assert.equal(durations.length, 21);
    const median = durations.toSorted((a, b) => a - b)[10] ?? Number.NaN;
    assert.ok(median < 25, `${durations.map(Math.round)} ms`);
  });

  it('renews the Secrets of a region early when there is a new token, unless theirs are recent', () => {
    const one = secret(new Map([[east, lifetime]]));
    const token = (age: number): Validity => ({
      issuedAt: issued + age,
      expiresAt: issued + age + 12 * hourMs,
    });
    const reasonAt = (age: number) => {
      return planned(one, age + maxDelayMs, { cachedToken: () => token(age) }).due[0]?.reason;
    };
    assert.equal(reasonAt(3 * hourMs), 'newer-token');
    assert.equal(reasonAt(2.9 * hourMs), undefined);
    const old = planned(one, 5 * hourMs, { cachedToken: () => token(3 * hourMs) });
    assert.deepEqual(old.due, [], 'a token that is no longer new causes no renewal');
  });

  it('renews by the monotonic clock when the wall clock was set back', () => {
    const one = secret(new Map([[east, lifetime]]));
    const { due } = planned(one, -hourMs, {}, 6 * hourMs + maxDelayMs);
    assert.equal(due[0]?.reason, 'clock-set-back');
  });

  it('looks up the failure of a host once per identity, and backs off only if that identity fails', () => {
    const namespaces = ['team-a', 'team-b', 'other'];
    const namespacesLookedUp: string[] = [];
    const { due, overdue } = plan(
      { secrets: namespaces.map((name) => [name, secret(new Map([[east, lifetime]]))]), deleted: [] },
      { wallMs: issued + 7 * hourMs, monotonicMs: 7 * hourMs },
      rules({
        identityOf: (namespace) => (namespace === 'other' ? defaultDecision : allow('role-of-teams')),
        regionFailure: (namespace) => {
          namespacesLookedUp.push(namespace);
          return namespace === 'other' ? undefined : failure;
        },
      }),
    );
    assert.deepEqual(namespacesLookedUp, ['team-a', 'other']);
    assert.deepEqual(
      [due, overdue].map((of) => of.map(({ namespace }) => namespace)),
      [['other'], ['team-a', 'team-b']],
    );
  });

  it('backs off for a failing region or namespace, reports it as overdue, and renews the other hosts', () => {
    const both = secret(
      new Map([
        [east, lifetime],
        [west, lifetime],
      ]),
    );
    const regionFailure = (_namespace: string, host: string) => (host === east ? failure : undefined);
    const partial = planned(both, 7 * hourMs, { regionFailure });
    assert.deepEqual(partial.due[0]?.hosts, [west]);
    assert.deepEqual(
      partial.overdue.map(({ host, expiresAt }) => ({ host, expiresAt })),
      [{ host: east, expiresAt: lifetime.expiresAt }],
    );
    assert.equal(partial.nextAt, failure.retryAt);
    assert.deepEqual(planned(both, 7 * hourMs + 2 * minuteMs, { regionFailure }).due[0]?.hosts, [east, west]);
    const alone = planned(both, 7 * hourMs, { namespaceFailure: () => failure });
    assert.deepEqual([alone.due, alone.overdue.length], [[], 2]);
  });

  it('retries sooner as the expiry comes near, and at once after the clock was set back', () => {
    const one = secret(new Map([[east, lifetime]]));
    const at = 12 * hourMs - 10 * minuteMs;
    const failed = { ...failure, at: issued + at, retryAt: issued + at + 5 * minuteMs };
    const regionFailure = () => failed;
    assert.equal(planned(one, at, { regionFailure }).nextAt, issued + at + 30_000);
    assert.equal(planned(one, at - hourMs, { regionFailure }).due.length, 1);
  });

  it('plans hosts with and without a valid token separately, and the first to expire first', () => {
    const expiringAfter = (minutes: number) => ({ issuedAt: issued, expiresAt: issued + minutes * minuteMs });
    const secrets = [
      ['later', secret(new Map([[east, expiringAfter(20)]]))],
      ['sooner', secret(new Map([[east, expiringAfter(15)]]))],
      ['none', secret(new Map([[east, undefined]]))],
      ['expired', secret(new Map([[east, expiringAfter(5)]]))],
      [
        'both',
        secret(
          new Map([
            [west, undefined],
            [east, expiringAfter(16)],
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

  it('reports for an edited Secret only that the repair fails, once for each kind', () => {
    const hosts = new Map([
      [east, lifetime],
      [west, undefined],
    ]);
    const edited = secret(hosts, { isIntact: false });
    assert.equal(planned(secret(hosts), 7 * hourMs, { regionFailure: () => failure }).overdue.length, 2);
    assert.deepEqual(planned(edited, 7 * hourMs, { regionFailure: () => failure }).overdue, []);
    const refused = planned(edited, 7 * hourMs, { namespaceFailure: () => failure });
    assert.deepEqual(
      refused.overdue.map(({ kind, host, expiresAt }) => [kind, host, expiresAt]),
      [
        ['valid', east, undefined],
        ['missing', west, undefined],
      ],
    );
  });

  it('does not delay hosts with a valid token when hosts without one fail', () => {
    const one = secret(
      new Map([
        [east, lifetime],
        [west, undefined],
      ]),
    );
    const namespaceFailure: PlanRules['namespaceFailure'] = (_namespace, kind) =>
      kind === 'missing' ? failure : undefined;
    const { due } = planned(one, 7 * hourMs, { namespaceFailure });
    assert.deepEqual(
      due.map(({ kind, hosts }) => [kind, ...hosts]),
      [['valid', east]],
    );
  });

  it('orders namespaces that expire at the same time differently in each replica', () => {
    const known: ClusterState = {
      secrets: Array.from({ length: 300 }, (_, index) => [
        `team-${index}`,
        secret(new Map([[east, lifetime]])),
      ]),
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
