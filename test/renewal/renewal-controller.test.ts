// Tests the renewal of many namespaces on a clock that the test moves.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { IdentityDecision } from '../../src/ecr/identity.ts';
import { KubeError, type KubeErrorCode } from '../../src/kube/errors.ts';
import { failedHost, type UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { toWriteFailure, UnstoredHosts } from '../../src/pull-secrets/unstored-hosts.ts';
import { flappingCode, type Overdue } from '../../src/renewal/plan-types.ts';
import type { RenewalDependencies } from '../../src/renewal/renewal-controller.ts';
import { eventually } from '../support/eventually.ts';
import { allow, denied, unresolved } from '../support/identities.ts';
import { createRenewalFixture, host, hourMs } from './renewal-fixture.ts';

const failedWrite = (code: KubeErrorCode): UnavailableHost[] => [
  failedHost(host, new KubeError({ code, operation: 'apply Secret team-a/ecr-pull-secrets' })),
];
const quota = () => failedWrite('forbidden');
const timeout = () => failedWrite('timeout');

describe('log of a failed renewal', () => {
  it('contains the cause, with the name of the webhook that denied the write', async () => {
    const message =
      'cannot apply Secret a/b (invalid, HTTP 400, admission webhook "w" denied the request): x';
    const refused = { host, code: 'invalid', text: 'denied by webhook "w"', message };
    const fixture = createRenewalFixture(['a'], async () => [refused]);
    await fixture.pass(7 * hourMs);
    const lines = (await fixture.readLog()).map((line) => JSON.parse(line));
    const line = lines.find(({ msg }) => msg === 'failed to renew the pull Secret');
    assert.deepEqual([line?.cause, line?.missing], [message, [{ host, code: 'invalid' }]]);
  });
});

describe('renewal of all namespaces', () => {
  const names = Array.from({ length: 20 }, (_, index) => `team-${index}`);

  it('continues in all other namespaces when one fails or throws', async () => {
    const done: string[] = [];
    const fixture = createRenewalFixture(names, async (namespace) => {
      done.push(namespace);
      if (namespace === 'team-3') {
        throw new Error('unexpected');
      }
      if (namespace === 'team-5') {
        return quota();
      }
      fixture.writeToken(namespace);
      return [];
    });
    await fixture.pass(7 * hourMs);
    assert.deepEqual(done.toSorted(), names.toSorted());
    assert.equal(fixture.counts.filter((count) => count === 'scheduled renewed').length, 18);
    assert.equal(fixture.counts.filter((count) => count === 'scheduled forbidden').length, 1);
    await fixture.pass(100);
    assert.equal(
      done.filter((count) => count === 'team-3').length,
      1,
      'an unexpected error is not retried at once',
    );
    assert.ok(fixture.renewal.state().overdue.some(({ namespace }) => namespace === 'team-5'));
  });

  it('retries a failed write without end, with a backoff of less than a minute', async () => {
    const attempts: number[] = [];
    const fixture = createRenewalFixture(['team-a'], async () => {
      attempts.push(fixture.clock.wallMs);
      return quota();
    });
    await fixture.pass(7 * hourMs);
    for (let second = 0; second < 3600; second += 1) {
      await fixture.pass(1000);
    }
    const gaps = attempts.map((at, index) => at - (attempts[index - 1] ?? at)).slice(1);
    assert.ok(gaps.every((gap, index) => gap >= (gaps[index - 1] ?? 0) - 1000));
    assert.ok((gaps.at(-1) ?? 0) >= 20_000 && (gaps.at(-1) ?? 0) <= 45_000, `the last gap is ${gaps.at(-1)}`);
  });

  it('plans unstored hosts from the next tick until they are stored', async () => {
    const monotonicMs = () => fixture.clock.monotonicMs;
    const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: monotonicMs });
    const attempts: string[] = [];
    const fixture = createRenewalFixture(
      ['team-a'],
      async (namespace, registries) => {
        attempts.push(namespace);
        unstored.remove(
          namespace,
          registries.map((count) => count.host),
        );
        return [];
      },
      { unstored },
    );
    await fixture.pass(1_000);
    unstored.add('new', [host], toWriteFailure(quota()[0] ?? assert.fail()));
    await fixture.pass(1);
    assert.deepEqual(
      fixture.renewal.state().overdue.map(({ namespace, failure }) => [namespace, failure.code]),
      [['new', 'forbidden']],
    );
    await fixture.pass(3_000);
    assert.deepEqual(attempts, ['new']);
    await fixture.pass(1);
    assert.deepEqual(fixture.renewal.state().overdue, []);
  });

  it('backs off in a namespace that refuses writes, even if its region fails as well', async () => {
    const at = () => fixture.clock.wallMs;
    const regionFailure = () => ({
      ...{ code: 'throttled', permanent: false, message: 'throttled' },
      ...{ since: at(), at: at(), retryAt: at() },
    });
    const attempts: number[] = [];
    const renew = async () => {
      attempts.push(at());
      return quota();
    };
    const { rules } = createRenewalFixture([], renew);
    const fixture = createRenewalFixture(['team-a'], renew, { rules: { ...rules, regionFailure } });
    fixture.removeToken('team-a');
    for (let second = 0; second < 300; second += 1) {
      await fixture.pass(1000);
    }
    assert.ok(attempts.length > 5 && attempts.length < 30, `${attempts.length} attempts in five minutes`);
  });

  it('takes no failure of a region for a success, which would delay later renewals in the namespace', async () => {
    const regionFailure = () => ({
      ...{ code: 'network', permanent: false, message: 'connection reset' },
      ...{ since: fixture.clock.wallMs, at: fixture.clock.wallMs, retryAt: fixture.clock.wallMs },
    });
    let denied = false;
    const renewedAt: number[] = [];
    const renew = async () => {
      renewedAt.push(fixture.clock.wallMs);
      return denied ? [] : [{ host, code: 'network', text: 'connection reset' }];
    };
    const { rules } = createRenewalFixture([], renew);
    const identityOf: typeof rules.identityOf = (...args) =>
      denied ? { access: 'denied', rule: 'registries[0]' } : rules.identityOf(...args);
    const fixture = createRenewalFixture(['team-a'], renew, {
      rules: { ...rules, identityOf, regionFailure },
      identityChangeCount: () => (denied ? 1 : 0),
    });
    await fixture.pass(7 * hourMs);
    for (let minute = 0; minute < 10; minute += 1) {
      await fixture.pass(60_000);
    }
    assert.ok(renewedAt.length >= 10, `${renewedAt.length} attempts`);
    assert.deepEqual(
      fixture.renewal.state().overdue.map(({ failure }) => failure.code),
      ['network'],
    );
    denied = true;
    const before = renewedAt.length;
    await fixture.pass(5_000);
    assert.equal(renewedAt.length, before + 1, 'the host is removed at once');
  });

  it('reports no failure of the past once another writer has stored the hosts', async () => {
    const reported: string[] = [];
    let refuses = true;
    const fixture = createRenewalFixture(
      ['team-a'],
      async (namespace) => {
        if (!refuses) {
          fixture.writeToken(namespace);
        }
        return refuses ? quota() : [];
      },
      { onFailureReport: ({ failing }) => reported.push(...failing.map(({ namespace }) => namespace)) },
    );
    await fixture.pass(7 * hourMs);
    await fixture.pass(10_000);
    assert.equal(fixture.renewal.state().overdue.length, 1);
    fixture.writeToken('team-a'); // by another replica
    await fixture.pass(10_000);
    refuses = false;
    await fixture.pass(7 * hourMs);
    await fixture.pass(10_000);
    fixture.secretCache.remove('team-a', '99');
    await fixture.pass(5_000);
    assert.deepEqual([reported, fixture.renewal.state().overdue], [[], []]);
  });

  it('reports no failure of the past after a pod got its unstored host stored', async () => {
    const monotonicMs = () => fixture.clock.monotonicMs;
    const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: monotonicMs });
    const reported: string[] = [];
    const fixture = createRenewalFixture([], async () => quota(), {
      unstored,
      onFailureReport: ({ failing }) => reported.push(...failing.map(({ namespace }) => namespace)),
    });
    unstored.add('new', [host], toWriteFailure(quota()[0] ?? assert.fail()));
    await fixture.pass(4_000);
    await fixture.pass(1_000);
    unstored.remove('new', [host]);
    fixture.writeToken('new');
    await fixture.pass(10_000);
    fixture.secretCache.remove('new', '99');
    await fixture.pass(hourMs);
    assert.deepEqual([reported, fixture.renewal.state().overdue], [[], []]);
  });

  it('reports a failure again at the next plan when its Event was not sent', async () => {
    let sends = false;
    let reports = 0;
    const fixture = createRenewalFixture(['team-a'], async () => quota(), {
      onFailureReport: ({ failing }, onUnsent) => {
        reports += failing.length;
        for (const overdue of sends ? [] : failing) {
          onUnsent(overdue);
        }
      },
    });
    await fixture.pass(7 * hourMs);
    for (let minute = 0; minute < 15; minute += 1) {
      await fixture.pass(60_000);
    }
    const before = reports;
    assert.ok(before > 1);
    sends = true;
    for (let minute = 0; minute < 15; minute += 1) {
      await fixture.pass(60_000);
    }
    assert.equal(reports, before + 1);
  });

  it('backs off when a renewal succeeds but changes nothing', async () => {
    let attempts = 0;
    const fixture = createRenewalFixture(['team-a'], async () => {
      attempts += 1;
      return [];
    });
    await fixture.pass(7 * hourMs);
    for (let second = 0; second < 60; second += 1) {
      await fixture.pass(1000);
    }
    assert.ok(attempts <= 10, `${attempts} attempts in a minute`);
    assert.ok(fixture.counts.every((count) => count === 'scheduled no-newer-token'));
  });

  it('has at most as many renewals in flight as configured', async () => {
    let inFlight = 0;
    let maxInFlight = 0;
    const fixture = createRenewalFixture(names, async (namespace) => {
      inFlight += 1;
      maxInFlight = Math.max(maxInFlight, inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight -= 1;
      fixture.writeToken(namespace);
      return [];
    });
    await fixture.pass(7 * hourMs);
    assert.equal(maxInFlight, 4);
    assert.equal(fixture.counts.length, names.length);
  });

  it('is not delayed by namespaces whose writes hang, starts none of them twice, and records the outcome of each', async () => {
    const slow = Array.from({ length: 10 }, (_, index) => `slow-${index}`);
    const gate = Promise.withResolvers<void>();
    const started: string[] = [];
    const fixture = createRenewalFixture(
      [...slow, ...names],
      async (namespace) => {
        started.push(namespace);
        if (slow.includes(namespace)) {
          await gate.promise;
          return timeout();
        }
        fixture.writeToken(namespace);
        return [];
      },
      { maxWaitMs: 10 },
    );
    for (const namespace of slow) {
      fixture.expireIn(namespace, 60_000); // the most urgent ones
    }
    fixture.move(7 * hourMs);
    const renewed = () => fixture.counts.filter((count) => count.endsWith(' renewed')).length;
    await eventually('all others are renewed', () => renewed() === names.length, 30_000);
    await eventually('all are in flight', () => started.length === slow.length + names.length);
    fixture.move(1000);
    await eventually('it has planned again', () => fixture.plans === 2);
    assert.equal(started.length, slow.length + names.length, 'none was started a second time');
    assert.equal(fixture.renewal.state().due, slow.length);
    gate.resolve();
    await fixture.renewal.waitUntilIdle();
    assert.equal(fixture.counts.filter((count) => count.endsWith(' timeout')).length, slow.length);
    await fixture.pass(10_000);
    const { overdue } = fixture.renewal.state();
    assert.deepEqual(new Set(overdue.map(({ namespace }) => namespace)), new Set(slow));
  });

  it('skips what another replica has done in the meantime', async () => {
    const done: string[] = [];
    const fixture = createRenewalFixture(
      names,
      async (namespace) => {
        done.push(namespace);
        for (const other of names) {
          fixture.writeToken(other); // all of these events come from the watch
        }
        return [];
      },
      { concurrency: 1 },
    );
    await fixture.pass(7 * hourMs);
    assert.equal(done.length, 1);
  });

  it('forgets a deleted Secret when its namespace is deleted as well', async () => {
    let calls = 0;
    const fixture = createRenewalFixture(['team-a'], async () => {
      calls += 1;
      return [{ host, code: 'namespace-terminating', text: 'API server: namespace-terminating' }];
    });
    fixture.secretCache.remove('team-a', '9');
    await fixture.pass(5_000);
    await fixture.pass(hourMs);
    assert.equal(calls, 1);
    assert.equal(fixture.secretCache.deletedSecrets().size, 0);
  });

  it('forgets the failures of a deleted namespace before it is created again', async () => {
    const gone = [{ host, code: 'namespace-terminating', text: 'API server: namespace-terminating' }];
    const fixture = createRenewalFixture(['team-a'], async () => gone);
    fixture.secretCache.remove('team-a', '9');
    await fixture.pass(5_000);
    fixture.writeToken('team-a');
    fixture.clock.wallMs += 12 * hourMs;
    fixture.renewal.tick();
    assert.deepEqual(fixture.renewal.state().overdue, []);
    await fixture.renewal.waitUntilIdle();
  });

  it('renews valid tokens at once, however many namespaces have hosts that never get one', async () => {
    const attackers = Array.from({ length: 16 }, (_, index) => `attacker-${index}`);
    const gate = Promise.withResolvers<void>();
    const done: string[] = [];
    const fixture = createRenewalFixture(names, async (namespace) => {
      if (attackers.includes(namespace)) {
        await gate.promise;
        return [{ host, code: 'timeout', text: 'timed out' }];
      }
      done.push(namespace);
      fixture.writeToken(namespace);
      return [];
    });
    for (const namespace of attackers) {
      fixture.removeToken(namespace);
    }
    fixture.move(7 * hourMs);
    await eventually('all namespaces with valid tokens are renewed', () => done.length === names.length);
    gate.resolve();
    await fixture.renewal.waitUntilIdle();
  });

  it('is not kept busy by namespaces that repeatedly make their tokens appear to expire soon', async () => {
    const attackers = Array.from({ length: 30 }, (_, index) => `attacker-${index}`);
    const renewed: string[] = [];
    const fixture = createRenewalFixture(
      names,
      async (namespace) => {
        renewed.push(namespace);
        fixture.writeToken(namespace);
        return [];
      },
      { concurrency: 1 },
    );
    await fixture.pass(7 * hourMs);
    fixture.clock.wallMs += 7 * hourMs;
    fixture.clock.monotonicMs += 7 * hourMs;
    renewed.length = 0;
    // each attacker edits its Secret again as soon as it was renewed
    for (let second = 0; second < 600; second += 1) {
      for (const namespace of attackers) {
        fixture.expireIn(namespace, 60_000);
      }
      await fixture.pass(1000);
    }
    assert.deepEqual(new Set(renewed.filter((one) => names.includes(one))).size, names.length);
    const ofAttackers = renewed.filter((one) => attackers.includes(one)).length;
    assert.ok(
      ofAttackers <= attackers.length * 15,
      `${ofAttackers} renewals for the attackers in ten minutes`,
    );
  });

  it('backs off repairing a label that another writer keeps changing, and reports it', async () => {
    const repairs: number[] = [];
    const reported: Overdue[] = [];
    const fixture = createRenewalFixture(
      ['team-a'],
      async (namespace) => {
        repairs.push(fixture.clock.wallMs);
        fixture.writeToken(namespace);
        return [];
      },
      { onFailureReport: ({ failing }) => void reported.push(...failing) },
    );
    for (let second = 0; second < 3600; second += 1) {
      fixture.relabel('team-a');
      await fixture.pass(1000);
    }
    assert.ok(repairs.length >= 10 && repairs.length <= 40, `${repairs.length} repairs in an hour`);
    const [first] = reported;
    assert.deepEqual(
      [first?.namespace, first?.failure.code, first?.failure.message],
      [
        'team-a',
        flappingCode,
        'another writer keeps changing the Secret; look for its name in metadata.managedFields',
      ],
    );
  });

  it('renews within seconds when the facts of a namespace change, and not before', async () => {
    const facts = { changes: 0, changedAt: undefined as number | undefined, decision: allow() };
    const renewed: string[] = [];
    const rules: RenewalDependencies['rules'] = {
      ...createRenewalFixture([], async () => []).rules,
      identityOf: () => facts.decision,
      identityChangedAt: () => facts.changedAt,
    };
    const fixture = createRenewalFixture(
      ['team-a'],
      async (namespace) => {
        renewed.push(namespace);
        fixture.writeToken(namespace);
        return [];
      },
      { rules, identityChangeCount: () => facts.changes },
    );
    await fixture.pass(1_000);
    fixture.clock.wallMs += 1_000;
    facts.changedAt = fixture.clock.wallMs;
    facts.decision = denied;
    facts.changes += 1;
    await fixture.pass(1);
    const { plans } = fixture;
    await fixture.pass(3_000);
    assert.deepEqual([renewed, fixture.counts.length], [['team-a'], 1]);
    assert.match(fixture.counts[0] ?? '', /^denied /);
    assert.ok(plans >= 2, 'a change of the facts causes a plan');
  });

  it('does not back off because the identity of a repaired host is not known', async () => {
    const { rules } = createRenewalFixture([], async () => []);
    const missing = { host, code: 'service-account-missing', text: 'missing', cause: 'token' as const };
    let repairs = 0;
    const fixture = createRenewalFixture(
      ['team-a'],
      async (namespace) => {
        repairs += 1;
        fixture.writeToken(namespace);
        return [missing];
      },
      { rules: { ...rules, identityOf: () => unresolved } },
    );
    fixture.relabel('team-a');
    await fixture.pass(3_000);
    assert.deepEqual(fixture.counts, ['edited service-account-missing']);
    await fixture.pass(10_000);
    assert.equal(repairs, 1);
    assert.deepEqual(
      fixture.renewal.state().overdue.map(({ failure }) => failure.code),
      ['service-account-missing'],
    );
  });

  it('starts with namespaces that it has not renewed recently', async () => {
    const order: string[] = [];
    const fixture = createRenewalFixture(
      ['attacker', 'other'],
      async (namespace) => {
        order.push(namespace);
        fixture.writeToken(namespace);
        return [];
      },
      { concurrency: 1 },
    );
    fixture.expireIn('attacker', 60_000);
    await fixture.pass(1000);
    assert.deepEqual(order, ['attacker']);
    await fixture.pass(2000);
    fixture.expireIn('attacker', 60_000);
    fixture.expireIn('other', 3_600_000);
    await fixture.pass(2000);
    assert.deepEqual(order.slice(1), ['other', 'attacker']);
  });

  it('starts nothing after it was stopped, and waits for renewals in flight', async () => {
    const gate = Promise.withResolvers<void>();
    let started = 0;
    const fixture = createRenewalFixture(names, async () => {
      started += 1;
      await gate.promise;
      return [];
    });
    fixture.clock.wallMs += 7 * hourMs;
    fixture.clock.monotonicMs += 7 * hourMs;
    fixture.renewal.tick();
    await new Promise((resolve) => setImmediate(resolve));
    const stopped = fixture.renewal.stop();
    gate.resolve();
    await stopped;
    assert.ok(started <= 4);
    assert.equal(fixture.renewal.state().due, names.length - started);
  });
});

describe('the state of renewal', () => {
  it('shows how late the most overdue renewal is, until it has succeeded', async () => {
    const state = { fails: true };
    const fixture = createRenewalFixture(['a', 'b'], async (namespace) => {
      if (namespace === 'a' && state.fails) {
        return quota();
      }
      fixture.writeToken(namespace);
      return [];
    });
    const { renewal } = fixture;
    await fixture.pass(5 * hourMs);
    assert.equal(renewal.state().latenessMs, 0);
    await fixture.pass(4 * hourMs);
    await fixture.pass(10_000);
    const late = renewal.state().latenessMs;
    assert.ok(late > 2.4 * hourMs && late <= 3.1 * hourMs, `${late} ms`);
    state.fails = false;
    await fixture.pass(hourMs);
    await fixture.pass(10_000);
    assert.equal(renewal.state().latenessMs, 0);
  });

  it('counts the namespaces whose tokens an unmanaged Secret keeps from being stored', async () => {
    const unstored = new UnstoredHosts({ maxHostsPerNamespace: 50, monotonicNow: () => 0 });
    const fixture = createRenewalFixture([], async () => [], { unstored });
    const { secretCache, renewal } = fixture;
    const put = (namespace: string, annotations: Record<string, string> = {}) =>
      secretCache.set({
        ...{ namespace, uid: `uid-${namespace}`, resourceVersion: '9' },
        ...{ labels: {}, annotations, fieldOwners: [] },
      });
    for (const namespace of ['needed', 'opted-out']) {
      for (const one of [host, host.replace('1234', '4321')]) {
        unstored.add(namespace, [one], toWriteFailure(quota()[0] ?? assert.fail()));
      }
    }
    for (const namespace of ['needed', 'unneeded']) {
      put(namespace);
    }
    put('opted-out', { 'ecr-pull-secrets.io/managed': 'false' });
    await fixture.pass(1_000);
    assert.equal(renewal.state().unmanagedSecrets, 1);
  });
});

describe('a role that is not allowed', () => {
  it('is reported within half a minute, unless the ServiceAccount changes by then', async () => {
    const reported: string[] = [];
    let changedAt: number | undefined;
    const decision: IdentityDecision = {
      access: 'unresolved',
      code: 'role-not-allowed',
      rule: 'registries[0]',
      message: 'allowedRoles of registries[0] does not contain the role',
    };
    const { rules } = createRenewalFixture([], async () => []);
    const fixture = createRenewalFixture(['a'], async () => [], {
      rules: { ...rules, identityOf: () => decision, identityChangedAt: () => changedAt },
      onFailureReport: ({ failing }) => void reported.push(...failing.map(({ failure }) => failure.code)),
    });
    fixture.removeToken('a');
    await fixture.pass(10_000);
    changedAt = fixture.clock.wallMs;
    await fixture.pass(10_000);
    assert.deepEqual(reported, []);
    await fixture.pass(10_000);
    await fixture.pass(10_000);
    assert.deepEqual(reported, ['role-not-allowed']);
  });
});
