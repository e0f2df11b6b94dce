// Tests when renewal plans, and how it notices clock jumps.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { createRenewalFixture, hourMs } from './renewal-fixture.ts';

describe('a tick', () => {
  it('plans many namespaces in steps, keeps the plan for a while, and then plans what has changed', async () => {
    const gate = Promise.withResolvers<void>();
    const many = Array.from({ length: 4_000 }, (_, index) => `team-${index}`);
    const fixture = createRenewalFixture(many, async (namespace) => {
      await gate.promise;
      fixture.writeToken(namespace);
      return [];
    });
    /** Ticks, and returns how many namespaces are due and how many turns the event loop had until there was a plan. */
    const tickAfter = async (ms: number) => {
      const { plans } = fixture;
      fixture.clock.wallMs += ms;
      fixture.clock.monotonicMs += ms;
      fixture.renewal.tick();
      let turns = 0;
      while (fixture.plans === plans && turns < 100) {
        await yieldToEventLoop();
        turns += 1;
      }
      return { due: fixture.renewal.state().due, turns };
    };
    const first = await tickAfter(7 * hourMs);
    assert.equal(first.due, 4_000);
    assert.ok(first.turns >= 8, `the event loop had ${first.turns} turns`);
    fixture.clock.wallMs -= 7 * hourMs;
    fixture.writeToken('one-more'); // half of its token's lifetime has passed
    fixture.clock.wallMs += 7 * hourMs;
    assert.deepEqual(
      await tickAfter(3_900),
      { due: 4_000, turns: 100 },
      'a millisecond for each pending namespace has not passed',
    );
    assert.equal((await tickAfter(200)).due, 4_001);
    gate.resolve();
    await fixture.renewal.waitUntilIdle();
    assert.equal(fixture.counts.length, 4_001);
  });

  it('renews a Secret once that was created again during planning', async () => {
    const gate = Promise.withResolvers<void>();
    const started: string[] = [];
    const many = Array.from({ length: 600 }, (_, index) => `team-${index}`);
    const fixture = createRenewalFixture(
      many,
      async (namespace) => {
        started.push(namespace);
        await gate.promise;
        fixture.writeToken(namespace);
        return [];
      },
      { concurrency: 1000 },
    );
    fixture.clock.wallMs += 7 * hourMs;
    fixture.clock.monotonicMs += 7 * hourMs;
    fixture.renewal.tick();
    fixture.secretCache.remove('team-0', '9999');
    fixture.clock.wallMs -= 7 * hourMs;
    fixture.writeToken('team-0');
    fixture.clock.wallMs += 7 * hourMs;
    await eventually('all are in flight', () => started.length >= 600);
    gate.resolve();
    await fixture.renewal.waitUntilIdle();
    assert.equal(started.filter((namespace) => namespace === 'team-0').length, 1);
  });

  it('detects a suspended machine and a stepped clock at the next tick', async () => {
    const done: string[] = [];
    const fixture = createRenewalFixture(['team-a'], async (namespace) => {
      done.push(namespace);
      fixture.writeToken(namespace);
      return [];
    });
    await fixture.pass(1000);
    fixture.clock.wallMs += 7 * hourMs; // the monotonic clock stood still
    await fixture.pass(1000);
    assert.equal(done.length, 1);
    fixture.clock.wallMs -= 2 * hourMs;
    await fixture.pass(1000);
    assert.equal(done.length, 1, 'nothing was due, but the jump was logged');
    const jumps = (await fixture.readLog()).map((line) => JSON.parse(line)).filter(({ seconds }) => seconds);
    assert.deepEqual(
      jumps.map(({ seconds }) => seconds),
      [7 * 3600, -2 * 3600],
    );
  });
});
