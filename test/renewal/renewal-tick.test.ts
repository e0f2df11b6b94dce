import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as othersHadTheirTurn } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { hour, setUp } from './renewal-fixture.ts';

describe('a look at the clock', () => {
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
});
