import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { createRenewalFixture, hourMs } from './renewal-fixture.ts';

describe('a look at the clock', () => {
  it('plans many step by step, keeps that plan for a while, and plans then what is new', async () => {
    const gate = Promise.withResolvers<void>();
    const many = Array.from({ length: 4_000 }, (_, index) => `team-${index}`);
    const apiServer = createRenewalFixture(many, async (namespace) => {
      await gate.promise;
      apiServer.written(namespace);
      return [];
    });
    /** How many are due after this look, and how many turns others had meanwhile, until there was a plan. */
    const lookAfter = async (ms: number) => {
      const { plans } = apiServer;
      apiServer.clock.wallMs += ms;
      apiServer.clock.monotonicMs += ms;
      apiServer.renewal.tick();
      let turns = 0;
      while (apiServer.plans === plans && turns < 100) {
        await yieldToEventLoop();
        turns += 1;
      }
      return { due: apiServer.renewal.state().due, turns };
    };
    const first = await lookAfter(7 * hourMs);
    assert.equal(first.due, 4_000);
    assert.ok(first.turns >= 8, `the event loop had ${first.turns} turns`);
    apiServer.clock.wallMs -= 7 * hourMs;
    apiServer.written('one-more'); // its token is half used already
    apiServer.clock.wallMs += 7 * hourMs;
    assert.deepEqual(
      await lookAfter(1_900),
      { due: 4_000, turns: 100 },
      'half a millisecond for each is not over',
    );
    assert.equal((await lookAfter(200)).due, 4_001);
    gate.resolve();
    await apiServer.renewal.waitUntilIdle();
    assert.equal(apiServer.counts.length, 4_001);
  });

  it('renews a Secret once that was made anew while it planned', async () => {
    const gate = Promise.withResolvers<void>();
    const begun: string[] = [];
    const many = Array.from({ length: 600 }, (_, index) => `team-${index}`);
    const apiServer = createRenewalFixture(
      many,
      async (namespace) => {
        begun.push(namespace);
        await gate.promise;
        apiServer.written(namespace);
        return [];
      },
      { concurrency: 1000 },
    );
    apiServer.clock.wallMs += 7 * hourMs;
    apiServer.clock.monotonicMs += 7 * hourMs;
    apiServer.renewal.tick();
    apiServer.secretCache.remove('team-0', '9999');
    apiServer.clock.wallMs -= 7 * hourMs;
    apiServer.written('team-0');
    apiServer.clock.wallMs += 7 * hourMs;
    await eventually('all are under way', () => begun.length >= 600);
    gate.resolve();
    await apiServer.renewal.waitUntilIdle();
    assert.equal(begun.filter((one) => one === 'team-0').length, 1);
  });

  it('notices a suspended machine and a clock that was set, at the next look', async () => {
    const done: string[] = [];
    const apiServer = createRenewalFixture(['team-a'], async (namespace) => {
      done.push(namespace);
      apiServer.written(namespace);
      return [];
    });
    await apiServer.pass(1000);
    apiServer.clock.wallMs += 7 * hourMs; // the steady clock stood still
    await apiServer.pass(1000);
    assert.equal(done.length, 1);
    apiServer.clock.wallMs -= 2 * hourMs;
    await apiServer.pass(1000);
    assert.equal(done.length, 1, 'nothing to do, but it was seen');
    const jumps = (await apiServer.logged()).map((line) => JSON.parse(line)).filter(({ seconds }) => seconds);
    assert.deepEqual(
      jumps.map(({ seconds }) => seconds),
      [7 * 3600, -2 * 3600],
    );
  });
});
