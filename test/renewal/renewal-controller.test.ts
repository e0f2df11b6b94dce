import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeError, type KubeErrorCode } from '../../src/kube/errors.ts';
import { failedHost, type UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { toWriteFailure, UnstoredHosts } from '../../src/pull-secrets/unstored-hosts.ts';
import { type Overdue, repeatedRenewalCode } from '../../src/renewal/plan-types.ts';
import { eventually } from '../support/eventually.ts';
import { createRenewalFixture, host, hourMs } from './renewal-fixture.ts';

const failedWrite = (code: KubeErrorCode): UnavailableHost[] => [
  failedHost(host, new KubeError({ code, operation: 'apply Secret team-a/ecr-pull-secrets' })),
];
const quota = () => failedWrite('forbidden');
const timedOut = () => failedWrite('timeout');

describe('the log of a renewal that failed', () => {
  it('says why, with the name of who refused the write', async () => {
    const message =
      'cannot apply Secret a/b (invalid, HTTP 400, admission webhook "w" denied the request): x';
    const refused = { host, code: 'invalid', text: 'denied by webhook "w"', message };
    const apiServer = createRenewalFixture(['a'], async () => [refused]);
    await apiServer.pass(7 * hourMs);
    const lines = (await apiServer.logged()).map((line) => JSON.parse(line));
    const line = lines.find(({ msg }) => msg === 'pull Secret not renewed');
    assert.deepEqual([line?.cause, line?.missing], [message, [{ host, code: 'invalid' }]]);
  });
});

describe('the renewal of all namespaces', () => {
  const names = Array.from({ length: 20 }, (_, index) => `team-${index}`);

  it('treats each namespace alone: one that fails, or throws, keeps no other from being renewed', async () => {
    const done: string[] = [];
    const apiServer = createRenewalFixture(names, async (namespace) => {
      done.push(namespace);
      if (namespace === 'team-3') {
        throw new Error('a bug');
      }
      if (namespace === 'team-5') {
        return quota();
      }
      apiServer.written(namespace);
      return [];
    });
    await apiServer.pass(7 * hourMs);
    assert.deepEqual(done.toSorted(), names.toSorted());
    assert.equal(apiServer.counts.filter((one) => one === 'half-life renewed').length, 18);
    assert.equal(apiServer.counts.filter((one) => one === 'half-life forbidden').length, 1);
    await apiServer.pass(100);
    assert.equal(done.filter((one) => one === 'team-3').length, 1, 'a bug is not tried again at once');
    assert.ok(apiServer.renewal.state().overdue.some(({ namespace }) => namespace === 'team-5'));
  });

  it('tries again what failed, for ever, less and less often, and soon enough to notice a cure within a minute', async () => {
    const tries: number[] = [];
    const apiServer = createRenewalFixture(['team-a'], async () => {
      tries.push(apiServer.clock.wallMs);
      return quota();
    });
    await apiServer.pass(7 * hourMs);
    for (let second = 0; second < 3600; second += 1) {
      await apiServer.pass(1000);
    }
    const gaps = tries.map((at, index) => at - (tries[index - 1] ?? at)).slice(1);
    assert.ok(gaps.every((gap, index) => gap >= (gaps[index - 1] ?? 0) - 1000));
    assert.ok((gaps.at(-1) ?? 0) >= 20_000 && (gaps.at(-1) ?? 0) <= 45_000, `the last gap is ${gaps.at(-1)}`);
  });

  it('notices hosts that could not be stored at the next look, and plans them until they are', async () => {
    const monotonicMs = () => apiServer.clock.monotonicMs;
    const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: monotonicMs });
    const tries: string[] = [];
    const apiServer = createRenewalFixture(
      ['team-a'],
      async (namespace, registries) => {
        tries.push(namespace);
        unstored.remove(
          namespace,
          registries.map((one) => one.host),
        );
        return [];
      },
      { unstored },
    );
    await apiServer.pass(1_000);
    unstored.add('new', [host], toWriteFailure(quota()[0] ?? assert.fail()));
    await apiServer.pass(1);
    assert.deepEqual(
      apiServer.renewal.state().overdue.map(({ namespace, failure }) => [namespace, failure.code]),
      [['new', 'forbidden']],
    );
    await apiServer.pass(3_000);
    assert.deepEqual(tries, ['new']);
    await apiServer.pass(1);
    assert.deepEqual(apiServer.renewal.state().overdue, []);
  });

  it('backs off from a namespace that refuses writes although its region fails as well', async () => {
    const at = () => apiServer.clock.wallMs;
    const regionFailure = () => ({
      ...{ code: 'throttled', permanent: false, message: 'throttled' },
      ...{ since: at(), at: at(), retryAt: at() },
    });
    const tries: number[] = [];
    const renew = async () => {
      tries.push(at());
      return quota();
    };
    const { rules } = createRenewalFixture([], renew);
    const apiServer = createRenewalFixture(['team-a'], renew, { rules: { ...rules, regionFailure } });
    apiServer.waits('team-a');
    for (let second = 0; second < 300; second += 1) {
      await apiServer.pass(1000);
    }
    assert.ok(tries.length > 5 && tries.length < 30, `${tries.length} tries in five minutes`);
  });

  it('reports no failure of the past once another writer has stored the hosts', async () => {
    const reported: string[] = [];
    let refuses = true;
    const apiServer = createRenewalFixture(
      ['team-a'],
      async (namespace) => {
        if (!refuses) apiServer.written(namespace);
        return refuses ? quota() : [];
      },
      { onFailureReport: ({ failing }) => reported.push(...failing.map(({ namespace }) => namespace)) },
    );
    await apiServer.pass(7 * hourMs);
    await apiServer.pass(10_000);
    assert.equal(apiServer.renewal.state().overdue.length, 1);
    apiServer.written('team-a'); // by another replica
    await apiServer.pass(10_000);
    refuses = false;
    await apiServer.pass(7 * hourMs);
    await apiServer.pass(10_000);
    apiServer.secretCache.remove('team-a', '99');
    await apiServer.pass(5_000);
    assert.deepEqual([reported, apiServer.renewal.state().overdue], [[], []]);
  });

  it('reports no failure of the past after a pod got its unstored host stored', async () => {
    const monotonicMs = () => apiServer.clock.monotonicMs;
    const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: monotonicMs });
    const reported: string[] = [];
    const apiServer = createRenewalFixture([], async () => quota(), {
      unstored,
      onFailureReport: ({ failing }) => reported.push(...failing.map(({ namespace }) => namespace)),
    });
    unstored.add('new', [host], toWriteFailure(quota()[0] ?? assert.fail()));
    await apiServer.pass(4_000);
    await apiServer.pass(1_000);
    unstored.remove('new', [host]);
    apiServer.written('new');
    await apiServer.pass(10_000);
    apiServer.secretCache.remove('new', '99');
    await apiServer.pass(hourMs);
    assert.deepEqual([reported, apiServer.renewal.state().overdue], [[], []]);
  });

  it('reports a failure again at the next plan when its Event was not sent', async () => {
    let sends = false;
    let reports = 0;
    const apiServer = createRenewalFixture(['team-a'], async () => quota(), {
      onFailureReport: ({ failing }, onUnsent) => {
        reports += failing.length;
        if (!sends) for (const one of failing) onUnsent(one);
      },
    });
    await apiServer.pass(7 * hourMs);
    for (let minute = 0; minute < 15; minute += 1) await apiServer.pass(60_000);
    const before = reports;
    assert.ok(before > 1);
    sends = true;
    for (let minute = 0; minute < 15; minute += 1) await apiServer.pass(60_000);
    assert.equal(reports, before + 1);
  });

  it('does not try at every look where a renewal went well and changed nothing', async () => {
    let tries = 0;
    const apiServer = createRenewalFixture(['team-a'], async () => {
      tries += 1;
      return [];
    });
    await apiServer.pass(7 * hourMs);
    for (let second = 0; second < 60; second += 1) {
      await apiServer.pass(1000);
    }
    assert.ok(tries <= 10, `${tries} tries in a minute`);
    assert.ok(apiServer.counts.every((one) => one === 'half-life not-fresh'));
  });

  it('has no more under way at a time than it may', async () => {
    let underWay = 0;
    let most = 0;
    const apiServer = createRenewalFixture(names, async (namespace) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise((resolve) => setImmediate(resolve));
      underWay -= 1;
      apiServer.written(namespace);
      return [];
    });
    await apiServer.pass(7 * hourMs);
    assert.equal(most, 4);
    assert.equal(apiServer.counts.length, names.length);
  });

  it('is not delayed by namespaces whose writes hang, starts none of them twice, and notes how each ended', async () => {
    const slow = Array.from({ length: 10 }, (_, index) => `slow-${index}`);
    const gate = Promise.withResolvers<void>();
    const begun: string[] = [];
    const apiServer = createRenewalFixture(
      [...slow, ...names],
      async (namespace) => {
        begun.push(namespace);
        if (slow.includes(namespace)) {
          await gate.promise;
          return timedOut();
        }
        apiServer.written(namespace);
        return [];
      },
      { maxWaitMs: 10 },
    );
    for (const namespace of slow) {
      apiServer.endsIn(namespace, 60_000); // the most urgent ones
    }
    apiServer.move(7 * hourMs);
    const renewed = () => apiServer.counts.filter((one) => one.endsWith(' renewed')).length;
    await eventually('all others are renewed', () => renewed() === names.length, 30_000);
    await eventually('all are in flight', () => begun.length === slow.length + names.length);
    apiServer.move(1000);
    await eventually('it has planned again', () => apiServer.plans === 2);
    assert.equal(begun.length, slow.length + names.length, 'none was started a second time');
    assert.equal(apiServer.renewal.state().due, slow.length);
    gate.resolve();
    await apiServer.renewal.waitUntilIdle();
    assert.equal(apiServer.counts.filter((one) => one.endsWith(' timeout')).length, slow.length);
    await apiServer.pass(10_000);
    const { overdue } = apiServer.renewal.state();
    assert.deepEqual(new Set(overdue.map(({ namespace }) => namespace)), new Set(slow));
  });

  it('leaves what another replica has done in the meantime', async () => {
    const done: string[] = [];
    const apiServer = createRenewalFixture(
      names,
      async (namespace) => {
        done.push(namespace);
        for (const other of names) {
          apiServer.written(other); // all of them come in on the watch
        }
        return [];
      },
      { concurrency: 1 },
    );
    await apiServer.pass(7 * hourMs);
    assert.equal(done.length, 1);
  });

  it('gives up on a deleted Secret when its namespace is gone as well', async () => {
    let asked = 0;
    const apiServer = createRenewalFixture(['team-a'], async () => {
      asked += 1;
      return [{ host, code: 'namespace-terminating', text: 'API server: namespace-terminating' }];
    });
    apiServer.secretCache.remove('team-a', '9');
    await apiServer.pass(5_000);
    await apiServer.pass(hourMs);
    assert.equal(asked, 1);
    assert.equal(apiServer.secretCache.deletedSecrets().size, 0);
  });

  it('holds nothing against a namespace that is made anew after its end', async () => {
    const gone = [{ host, code: 'namespace-terminating', text: 'API server: namespace-terminating' }];
    const apiServer = createRenewalFixture(['team-a'], async () => gone);
    apiServer.secretCache.remove('team-a', '9');
    await apiServer.pass(5_000);
    apiServer.written('team-a');
    apiServer.clock.wallMs += 12 * hourMs;
    apiServer.renewal.tick();
    assert.deepEqual(apiServer.renewal.state().overdue, []);
    await apiServer.renewal.waitUntilIdle();
  });

  it('renews valid tokens at once, however many namespaces have hosts that never get one', async () => {
    const attackers = Array.from({ length: 16 }, (_, index) => `attacker-${index}`);
    const gate = Promise.withResolvers<void>();
    const done: string[] = [];
    const apiServer = createRenewalFixture(names, async (namespace) => {
      if (attackers.includes(namespace)) {
        await gate.promise;
        return [{ host, code: 'timeout', text: 'timed out' }];
      }
      done.push(namespace);
      apiServer.written(namespace);
      return [];
    });
    for (const namespace of attackers) {
      apiServer.waits(namespace);
    }
    apiServer.move(7 * hourMs);
    await eventually('all namespaces with valid tokens are renewed', () => done.length === names.length);
    gate.resolve();
    await apiServer.renewal.waitUntilIdle();
  });

  it('is not occupied by namespaces that make their tokens look as if they ended soon, again and again', async () => {
    const attackers = Array.from({ length: 30 }, (_, index) => `attacker-${index}`);
    const renewed: string[] = [];
    const apiServer = createRenewalFixture(
      names,
      async (namespace) => {
        renewed.push(namespace);
        apiServer.written(namespace);
        return [];
      },
      { concurrency: 1 },
    );
    await apiServer.pass(7 * hourMs);
    apiServer.clock.wallMs += 7 * hourMs;
    apiServer.clock.monotonicMs += 7 * hourMs;
    renewed.length = 0;
    // each attacker writes again as soon as it was renewed
    for (let second = 0; second < 600; second += 1) {
      for (const namespace of attackers) {
        apiServer.endsIn(namespace, 60_000);
      }
      await apiServer.pass(1000);
    }
    assert.deepEqual(new Set(renewed.filter((one) => names.includes(one))).size, names.length);
    const ofAttackers = renewed.filter((one) => attackers.includes(one)).length;
    assert.ok(
      ofAttackers <= attackers.length * 15,
      `${ofAttackers} renewals for the attackers in ten minutes`,
    );
  });

  it('repairs a label that something else changes again and again less and less often, and reports that', async () => {
    const repairs: number[] = [];
    const reported: Overdue[] = [];
    const apiServer = createRenewalFixture(
      ['team-a'],
      async (namespace) => {
        repairs.push(apiServer.clock.wallMs);
        apiServer.written(namespace);
        return [];
      },
      { onFailureReport: ({ failing }) => void reported.push(...failing) },
    );
    for (let second = 0; second < 3600; second += 1) {
      apiServer.relabelled('team-a');
      await apiServer.pass(1000);
    }
    assert.ok(repairs.length >= 10 && repairs.length <= 40, `${repairs.length} repairs in an hour`);
    const [first] = reported;
    assert.deepEqual(
      [first?.namespace, first?.failure.code, first?.failure.message],
      ['team-a', repeatedRenewalCode, 'something else keeps changing the Secret'],
    );
  });

  it('begins with namespaces that it has not renewed lately', async () => {
    const order: string[] = [];
    const apiServer = createRenewalFixture(
      ['greedy', 'patient'],
      async (namespace) => {
        order.push(namespace);
        apiServer.written(namespace);
        return [];
      },
      { concurrency: 1 },
    );
    apiServer.endsIn('greedy', 60_000);
    await apiServer.pass(1000);
    assert.deepEqual(order, ['greedy']);
    await apiServer.pass(2000);
    apiServer.endsIn('greedy', 60_000);
    apiServer.endsIn('patient', 3_600_000);
    await apiServer.pass(2000);
    assert.deepEqual(order.slice(1), ['patient', 'greedy']);
  });

  it('begins nothing after it was stopped, and waits for what is under way', async () => {
    const gate = Promise.withResolvers<void>();
    let begun = 0;
    const apiServer = createRenewalFixture(names, async () => {
      begun += 1;
      await gate.promise;
      return [];
    });
    apiServer.clock.wallMs += 7 * hourMs;
    apiServer.clock.monotonicMs += 7 * hourMs;
    apiServer.renewal.tick();
    await new Promise((resolve) => setImmediate(resolve));
    const stopped = apiServer.renewal.stop();
    gate.resolve();
    await stopped;
    assert.ok(begun <= 4);
    assert.equal(apiServer.renewal.state().due, names.length - begun);
  });
});
