// Tests the plan for hosts that could not be stored.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultDecision } from '../../src/ecr/identity.ts';
import type { HostLifetimes } from '../../src/pull-secrets/hosts-annotation.ts';
import type { CachedSecret } from '../../src/pull-secrets/secret-cache.ts';
import type { NamespaceUnstoredHosts } from '../../src/pull-secrets/unstored-hosts.ts';
import { flappingCode, type HostFailure, type PlanRules } from '../../src/renewal/plan-types.ts';
import { planNamespace } from '../../src/renewal/renewal-plan.ts';
import type { NamespaceState } from '../../src/renewal/unstored-plan.ts';
import { denied } from '../support/identities.ts';

const secondMs = 1_000;
const hourMs = 3_600_000;
const start = Date.UTC(2026, 10, 23, 12);
const lifetime = { issuedAt: start, expiresAt: start + 12 * hourMs };
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const west = '123456789012.dkr.ecr.us-west-2.amazonaws.com';

function secret(hosts: HostLifetimes, changes: Partial<CachedSecret> = {}): CachedSecret {
  const known = {
    uid: 'u',
    resourceVersion: '1',
    isManaged: true,
    isIntact: true,
    formerHosts: new Map(),
    hosts,
  };
  return { ...known, requestedAt: new Map(), observedAt: 0, ...changes };
}

const unmanaged = (formerHosts: HostLifetimes = new Map()) =>
  secret(new Map(), { isManaged: false, isIntact: false, formerHosts });

function unstored(code: string, ...hosts: string[]): NamespaceUnstoredHosts {
  const failure = { code, permanent: code === 'forbidden', message: `it failed: ${code}` };
  return { failure, hosts: new Map(hosts.map((host) => [host, { since: 0, requestedAt: 0 }])) };
}

/** Plans a namespace so many ms after its hosts could not be stored. */
function planned(
  known: NamespaceState,
  after: number,
  attempt?: Partial<HostFailure>,
  changes?: Partial<PlanRules>,
) {
  const rules: PlanRules = {
    replica: 'a',
    freshness: { fraction: 0.5, floorMs: hourMs },
    startedAt: start,
    identityOf: () => defaultDecision,
    identityChangedAt: () => undefined,
    cachedToken: () => undefined,
    regionFailure: () => undefined,
    namespaceFailure: (_namespace, kind) =>
      attempt && kind === 'missing'
        ? {
            code: 'forbidden',
            permanent: true,
            message: '',
            since: start,
            at: start,
            retryAt: start,
            ...attempt,
          }
        : undefined,
    lastStartAt: () => undefined,
    ...changes,
  };
  return planNamespace('team-a', known, { wallMs: start + after, monotonicMs: after }, rules);
}

describe('a host that could not be stored', () => {
  it('is overdue from the start, and due within seconds, in a namespace without a Secret', () => {
    const known = { unstored: unstored('forbidden', east) };
    const first = planned(known, 0);
    assert.deepEqual(
      first.overdue.map(({ host, expiresAt, isUrgent, failure }) => [
        host,
        expiresAt,
        isUrgent,
        failure.code,
      ]),
      [[east, undefined, true, 'forbidden']],
    );
    assert.deepEqual([first.overdue[0]?.failure.permanent, first.overdue[0]?.failure.since], [true, start]);
    assert.ok(first.nextAt <= start + 3 * secondMs);
    const { due } = planned(known, 3 * secondMs);
    assert.deepEqual(
      due.map(({ kind, reason, hosts }) => ({ kind, reason, hosts })),
      [{ kind: 'missing', reason: 'missing-token', hosts: [east] }],
    );
  });

  it('is renewed together with the hosts of the Secret, unless the Secret contains it', () => {
    const hosts = new Map([[east, undefined]]);
    const both = planned({ secret: secret(hosts), unstored: unstored('timeout', west) }, 3 * secondMs);
    assert.deepEqual(
      both.due.map(({ hosts }) => hosts.toSorted()),
      [[east, west]],
    );
    const named = planned({ secret: secret(hosts), unstored: unstored('timeout', east) }, 3 * secondMs);
    assert.deepEqual([named.due[0]?.hosts, named.overdue], [[east], []]);
    const lost = { hosts, isIntact: true, observedAt: 0 };
    const deleted = planned({ deleted: lost, unstored: unstored('timeout', east, west) }, 3 * secondMs);
    assert.deepEqual(
      deleted.due.map(({ reason, hosts }) => [reason, hosts.toSorted()]),
      [['deleted', [east, west]]],
    );
  });

  it('waits for the backoff of its namespace, but not of its region', () => {
    const known = { unstored: unstored('forbidden', east) };
    const region = { regionFailure: () => failureAt(start + 10 * secondMs, start + 300 * secondMs) };
    const failed = { at: start + 10 * secondMs, retryAt: start + 40 * secondMs };
    const backingOff = planned(known, 39 * secondMs, failed, region);
    assert.deepEqual([backingOff.due, backingOff.nextAt], [[], start + 40 * secondMs]);
    assert.equal(planned(known, 40 * secondMs, failed, region).due.length, 1);
    assert.equal(planned(known, 9 * secondMs, failed).due.length, 1, 'the clock was set back');
    const repaired = { ...failed, code: flappingCode };
    assert.equal(
      planned(known, 39 * secondMs, repaired).due.length,
      1,
      'another writer keeps changing the Secret',
    );
  });

  it('is a permanent failure while an unmanaged Secret exists, and due at once when that is deleted', () => {
    const known = unstored('forbidden', east);
    const blocked = planned({ secret: unmanaged(), unstored: known }, 30 * secondMs);
    assert.deepEqual([blocked.due, blocked.nextAt], [[], Number.POSITIVE_INFINITY]);
    assert.deepEqual(
      blocked.overdue.map(({ host, isUrgent, failure }) => [host, isUrgent, failure.code, failure.permanent]),
      [[east, true, 'unmanaged-secret', true]],
    );
    assert.match(blocked.overdue[0]?.failure.message ?? '', /not managed by ecr-pull-secrets/);
    const failed = { code: 'unmanaged-secret', at: start + 28 * secondMs, retryAt: start + 70 * secondMs };
    assert.equal(planned({ unstored: known }, 30 * secondMs, failed).due.length, 1);
    const managed = secret(new Map([[west, lifetime]]));
    assert.deepEqual(planned({ secret: managed, unstored: known }, 30 * secondMs, failed).due[0]?.hosts, [
      east,
    ]);
    const waiting = secret(new Map([[west, undefined]]));
    assert.deepEqual(planned({ secret: waiting }, 30 * secondMs, failed).due[0]?.hosts, [west]);
  });

  it('includes the hosts of a managed Secret that an unmanaged one has replaced', () => {
    const replaced = unmanaged(new Map([[east, lifetime]]));
    const { due, overdue } = planned(
      { secret: replaced, unstored: unstored('timeout', east, west) },
      secondMs,
    );
    assert.deepEqual(due, []);
    assert.deepEqual(
      overdue.map(({ host, failure }) => [host, failure.code]),
      [
        [east, 'unmanaged-secret'],
        [west, 'unmanaged-secret'],
      ],
    );
    assert.equal(planned({ secret: replaced }, secondMs).overdue.length, 1);
  });

  it('is not planned if the operator has opted the Secret out', () => {
    const taken = { ...unmanaged(new Map([[east, lifetime]])), isOptedOut: true };
    const { due, overdue } = planned({ secret: taken, unstored: unstored('timeout', west) }, secondMs);
    assert.deepEqual([due, overdue], [[], []]);
  });

  it('is neither planned nor reported if a rule denies it', () => {
    const identityOf = (_namespace: string, host: string) => (host === east ? denied : defaultDecision);
    const known = unstored('forbidden', east, west);
    const { due, overdue } = planned({ unstored: known }, 30 * secondMs, undefined, { identityOf });
    assert.deepEqual([due.map(({ hosts }) => hosts), overdue.map(({ host }) => host)], [[[west]], [west]]);
    const replaced = unmanaged(new Map([[east, lifetime]]));
    const blocked = planned({ secret: replaced, unstored: known }, secondMs, undefined, { identityOf });
    assert.deepEqual(
      blocked.overdue.map(({ host }) => host),
      [west],
    );
  });

  it('counts once if another writer had added the hosts to the annotation', () => {
    const hosts = new Map([east, west].map((host) => [host, lifetime]));
    const replaced = { ...unmanaged(hosts), hasTrustedHosts: false };
    assert.equal(planned({ secret: replaced }, secondMs).overdue.length, 1);
    assert.equal(planned({ secret: { ...replaced, hasTrustedHosts: true } }, secondMs).overdue.length, 2);
  });
});

function failureAt(at: number, retryAt: number): HostFailure {
  return { code: 'throttled', permanent: false, message: '', since: at, at, retryAt };
}
