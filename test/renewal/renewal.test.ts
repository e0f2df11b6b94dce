import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { setImmediate as othersHadTheirTurn } from 'node:timers/promises';
import { Renewal, type RenewalParts } from '../../src/renewal/renewal.ts';
import { formatHosts, hostsAnnotation } from '../../src/secrets/annotation.ts';
import { managedBy, managedByLabel } from '../../src/secrets/ours.ts';
import type { Shortfall } from '../../src/secrets/shortfall.ts';
import { SecretView } from '../../src/secrets/view.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';

const hour = 3_600_000;
const start = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

type Renew = RenewalParts['secrets']['renew'];

/** A renewal on a clock that only the test moves, over namespaces whose tokens are issued at `start`. */
function setUp(namespaces: readonly string[], renew: Renew, changes: Partial<RenewalParts> = {}) {
  const clock = { wall: start, steady: 0 };
  const view = new SecretView(() => clock.steady);
  let version = 1;
  const written = (namespace: string) => {
    version += 1;
    const life = { issuedAt: clock.wall, expiresAt: clock.wall + 12 * hour };
    view.set({
      namespace,
      uid: `uid-${namespace}`,
      resourceVersion: String(version),
      labels: { [managedByLabel]: managedBy },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, life]])) },
      owners: [],
    });
  };
  for (const namespace of namespaces) {
    written(namespace);
  }
  const stream = new PassThrough();
  const counts: string[] = [];
  let plans = 0;
  const renewal = new Renewal({
    view,
    secrets: { renew },
    rules: {
      replica: 'a',
      freshness: { fraction: 0.5, floorMs: hour },
      startedAt: start,
      identityOf: () => undefined,
      remembered: () => undefined,
      regionTrouble: () => undefined,
    },
    now: () => ({ ...clock }),
    random: () => 0,
    concurrency: 4,
    writesPerSecond: 100_000,
    tickMs: 1000,
    log: jsonLog('info', stream),
    counted: (reason, outcome) => counts.push(`${reason} ${outcome}`),
    told: () => {
      plans += 1;
    },
    ...changes,
  });
  const pass = async (ms: number) => {
    clock.wall += ms;
    clock.steady += ms;
    renewal.tick();
    await renewal.settled();
  };
  const logged = async () => {
    stream.end();
    return (await text(stream)).split('\n').filter((line) => line !== '');
  };
  return {
    ...{ renewal, view, clock, written, counts, pass, logged },
    /** How often it has planned. */
    get plans() {
      return plans;
    },
  };
}

const quota = (): Shortfall[] => [{ host, code: 'forbidden', text: 'API server: forbidden' }];

describe('the renewal of all namespaces', () => {
  const names = Array.from({ length: 20 }, (_, index) => `team-${index}`);

  it('treats each namespace alone: one that fails, or throws, keeps no other from being renewed', async () => {
    const done: string[] = [];
    const ground = setUp(names, async (namespace) => {
      done.push(namespace);
      if (namespace === 'team-3') {
        throw new Error('a bug');
      }
      if (namespace === 'team-5') {
        return quota();
      }
      ground.written(namespace);
      return [];
    });
    await ground.pass(7 * hour);
    assert.deepEqual(done.toSorted(), names.toSorted());
    assert.equal(ground.counts.filter((one) => one === 'half-life renewed').length, 18);
    assert.equal(ground.counts.filter((one) => one === 'half-life forbidden').length, 1);
    await ground.pass(100);
    assert.equal(done.filter((one) => one === 'team-3').length, 1, 'a bug is not tried again at once');
    assert.ok(ground.renewal.state().overdue.some(({ namespace }) => namespace === 'team-5'));
  });

  it('tries again what failed, for ever and less and less often', async () => {
    const tries: number[] = [];
    const ground = setUp(['team-a'], async () => {
      tries.push(ground.clock.wall);
      return quota();
    });
    await ground.pass(7 * hour);
    for (let second = 0; second < 3600; second += 1) {
      await ground.pass(1000);
    }
    assert.ok(tries.length > 20 && tries.length < 40, `${tries.length} tries in an hour`);
    const gaps = tries.map((at, index) => at - (tries[index - 1] ?? at)).slice(1);
    assert.ok(gaps.every((gap, index) => gap >= (gaps[index - 1] ?? 0) - 1000));
    assert.ok((gaps.at(-1) ?? 0) <= 300_000);
  });

  it('does not try at every look where a renewal went well and changed nothing', async () => {
    let tries = 0;
    const ground = setUp(['team-a'], async () => {
      tries += 1;
      return [];
    });
    await ground.pass(7 * hour);
    for (let second = 0; second < 60; second += 1) {
      await ground.pass(1000);
    }
    assert.ok(tries <= 10, `${tries} tries in a minute`);
    assert.ok(ground.counts.every((one) => one === 'half-life not-fresh'));
  });

  it('has no more under way at a time than it may', async () => {
    let underWay = 0;
    let most = 0;
    const ground = setUp(names, async (namespace) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise((resolve) => setImmediate(resolve));
      underWay -= 1;
      ground.written(namespace);
      return [];
    });
    await ground.pass(7 * hour);
    assert.equal(most, 4);
    assert.equal(ground.counts.length, names.length);
  });

  it('leaves what another replica has done in the meantime', async () => {
    const done: string[] = [];
    const ground = setUp(
      names,
      async (namespace) => {
        done.push(namespace);
        for (const other of names) {
          ground.written(other); // all of them come in on the watch
        }
        return [];
      },
      { concurrency: 1 },
    );
    await ground.pass(7 * hour);
    assert.equal(done.length, 1);
  });

  it('plans many step by step, keeps that plan for a while, and plans then what is new', async () => {
    const gate = Promise.withResolvers<void>();
    const many = Array.from({ length: 4_000 }, (_, index) => `team-${index}`);
    const ground = setUp(many, async (namespace) => {
      await gate.promise;
      ground.written(namespace);
      return [];
    });
    /** How many are due after this look, and how many turns others had meanwhile, until there was a plan. */
    const lookAfter = async (ms: number) => {
      const { plans } = ground;
      ground.clock.wall += ms;
      ground.clock.steady += ms;
      ground.renewal.tick();
      let turns = 0;
      while (ground.plans === plans && turns < 100) {
        await othersHadTheirTurn();
        turns += 1;
      }
      return { due: ground.renewal.state().due, turns };
    };
    const first = await lookAfter(7 * hour);
    assert.equal(first.due, 4_000);
    assert.ok(first.turns >= 8, `the event loop had ${first.turns} turns`);
    ground.clock.wall -= 7 * hour;
    ground.written('one-more'); // its token is half used already
    ground.clock.wall += 7 * hour;
    assert.deepEqual(
      await lookAfter(1_900),
      { due: 4_000, turns: 100 },
      'half a millisecond for each is not over',
    );
    assert.equal((await lookAfter(200)).due, 4_001);
    gate.resolve();
    await ground.renewal.settled();
    assert.equal(ground.counts.length, 4_001);
  });

  it('renews a Secret once that was made anew while it planned', async () => {
    const gate = Promise.withResolvers<void>();
    const begun: string[] = [];
    const many = Array.from({ length: 600 }, (_, index) => `team-${index}`);
    const ground = setUp(
      many,
      async (namespace) => {
        begun.push(namespace);
        await gate.promise;
        ground.written(namespace);
        return [];
      },
      { concurrency: 1000 },
    );
    ground.clock.wall += 7 * hour;
    ground.clock.steady += 7 * hour;
    ground.renewal.tick();
    ground.view.remove('team-0', '9999');
    ground.clock.wall -= 7 * hour;
    ground.written('team-0');
    ground.clock.wall += 7 * hour;
    await eventually('all are under way', () => begun.length >= 600);
    gate.resolve();
    await ground.renewal.settled();
    assert.equal(begun.filter((one) => one === 'team-0').length, 1);
  });

  it('notices a suspended machine and a clock that was set, at the next look', async () => {
    const done: string[] = [];
    const ground = setUp(['team-a'], async (namespace) => {
      done.push(namespace);
      ground.written(namespace);
      return [];
    });
    await ground.pass(1000);
    ground.clock.wall += 7 * hour; // the steady clock stood still
    await ground.pass(1000);
    assert.equal(done.length, 1);
    ground.clock.wall -= 2 * hour;
    await ground.pass(1000);
    assert.equal(done.length, 1, 'nothing to do, but it was seen');
    const jumps = (await ground.logged()).map((line) => JSON.parse(line)).filter(({ seconds }) => seconds);
    assert.deepEqual(
      jumps.map(({ seconds }) => seconds),
      [7 * 3600, -2 * 3600],
    );
  });

  it('gives up on a deleted Secret when its namespace is gone as well', async () => {
    let asked = 0;
    const ground = setUp(['team-a'], async () => {
      asked += 1;
      return [{ host, code: 'namespace-terminating', text: 'API server: namespace-terminating' }];
    });
    ground.view.remove('team-a', '9');
    await ground.pass(5_000);
    await ground.pass(hour);
    assert.equal(asked, 1);
    assert.equal(ground.view.lost().size, 0);
  });

  it('holds nothing against a namespace that is made anew after its end', async () => {
    const gone = [{ host, code: 'namespace-terminating', text: 'API server: namespace-terminating' }];
    const ground = setUp(['team-a'], async () => gone);
    ground.view.remove('team-a', '9');
    await ground.pass(5_000);
    ground.written('team-a');
    ground.clock.wall += 12 * hour;
    ground.renewal.tick();
    assert.deepEqual(ground.renewal.state().overdue, []);
    await ground.renewal.settled();
  });

  it('begins nothing after it was stopped, and waits for what is under way', async () => {
    const gate = Promise.withResolvers<void>();
    let begun = 0;
    const ground = setUp(names, async () => {
      begun += 1;
      await gate.promise;
      return [];
    });
    ground.clock.wall += 7 * hour;
    ground.clock.steady += 7 * hour;
    ground.renewal.tick();
    await new Promise((resolve) => setImmediate(resolve));
    const stopped = ground.renewal.stop();
    gate.resolve();
    await stopped;
    assert.ok(begun <= 4);
    assert.equal(ground.renewal.state().due, names.length - begun);
  });
});
