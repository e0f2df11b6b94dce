// Tests that slow or busy namespaces cannot use up the slots for API calls.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { CallSlots, OverloadedError, type ReleaseSlot } from '../../src/kube/call-slots.ts';

const bounds = {
  quick: 4,
  slow: 3,
  perKey: 2,
  slowAfterMs: 2_000,
  slowForMs: 600_000,
  maxWaitMs: 15_000,
  maxWaiting: 20,
  maxWaitingPerKey: 5,
};

/** A call under test. */
interface Call {
  readonly key: string;
  release: ReleaseSlot | undefined;
  error: unknown;
}

describe('slots for calls', () => {
  let slots: CallSlots;
  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    slots = new CallSlots(bounds);
  });
  afterEach(() => mock.timers.reset());

  const call = (key: string, signal?: AbortSignal): Call => {
    const newCall: Call = { key, release: undefined, error: undefined };
    slots.acquire(key, signal).then(
      (release) => {
        newCall.release = release;
      },
      (error: unknown) => {
        newCall.error = error;
      },
    );
    return newCall;
  };
  const started = (calls: readonly Call[]) => calls.filter(({ release }) => release !== undefined).length;
  const pass = async (ms: number) => {
    await turn();
    mock.timers.tick(ms);
    await turn();
  };

  it('are not used by a key beyond its share', async () => {
    const calls = Array.from({ length: 5 }, () => call('a'));
    const [other] = [call('b')];
    await turn();
    assert.equal(started(calls), bounds.perKey);
    assert.ok(other?.release);
    calls[0]?.release?.();
    await turn();
    assert.equal(started(calls), bounds.perKey + 1);
  });

  it('are given to the keys round-robin, however many calls of one key wait', async () => {
    const busy = ['a', 'a', 'b', 'b'].map((key) => call(key));
    await turn();
    const flood = Array.from({ length: 5 }, () => call('c'));
    const late = call('d');
    await turn();
    busy[0]?.release?.();
    busy[1]?.release?.();
    await turn();
    assert.equal(started(flood), 1);
    assert.ok(late.release, 'the key that came last has its turn before the second call of the other');
  });

  it('are not all used by slow keys, however many there are', async () => {
    const slow = Array.from({ length: 3 }, (_, index) => call(`slow-${index}`));
    await pass(bounds.slowAfterMs);
    const more = Array.from({ length: 3 }, (_, index) => call(`slow-${index}`));
    await turn();
    assert.deepEqual(slots.state, { inFlight: 3, slow: 3, waiting: 3, overloaded: 0 });
    const quick = Array.from({ length: bounds.quick }, (_, index) => call(`quick-${index}`));
    await turn();
    assert.equal(started(quick), bounds.quick);
    slow[0]?.release?.();
    await turn();
    assert.equal(started(more), 1);
  });

  it('are freed by slow calls as soon as there is a slow slot', async () => {
    const slow = Array.from({ length: 4 }, (_, index) => call(`slow-${index}`));
    await pass(bounds.slowAfterMs);
    const quick = Array.from({ length: bounds.quick }, (_, index) => call(`quick-${index}`));
    await turn();
    assert.equal(started(quick), bounds.quick - 1, 'one slow call has found no slot of its own');
    slow[0]?.release?.();
    await turn();
    assert.equal(started(quick), bounds.quick);
  });

  it('treat a key as quick again after a quick call', async () => {
    const first = call('a');
    await pass(bounds.slowAfterMs);
    first.release?.();
    const second = call('a');
    await turn();
    assert.equal(slots.state.slow, 1);
    second.release?.();
    call('a');
    await turn();
    assert.equal(slots.state.slow, 0);
  });

  it('reject a call as overloaded if it waits too long or too many calls wait', async () => {
    const holding = [call('a'), call('a')];
    await turn();
    const waiting = Array.from({ length: bounds.maxWaitingPerKey }, () => call('a'));
    const oneTooMany = call('a');
    const timedOut = call('b', AbortSignal.timeout(0));
    await turn();
    assert.ok(oneTooMany.error instanceof OverloadedError);
    assert.ok(timedOut.release, 'a slot that is free needs no time');
    await pass(bounds.maxWaitMs);
    assert.ok(waiting.every(({ error }) => error instanceof OverloadedError));
    assert.deepEqual(slots.state, { inFlight: 3, slow: 3, waiting: 0, overloaded: 6 });
    for (const { release } of [...holding, timedOut]) {
      release?.();
    }
    await slots.waitUntilIdle();
  });

  it('distinguish the time spent in the queue from a timeout of the API server', async () => {
    call('a');
    call('a');
    const [timeout, stop] = [new AbortController(), new AbortController()];
    const timedOut = call('a', timeout.signal);
    const stopped = call('a', stop.signal);
    await turn();
    timeout.abort(new DOMException('late', 'TimeoutError'));
    stop.abort(new Error('stop'));
    await turn();
    assert.ok(timedOut.error instanceof OverloadedError);
    assert.match(String(stopped.error), /stop/);
    assert.equal(slots.state.waiting, 0);
  });

  it('reject the waiting calls when they are closed', async () => {
    call('a');
    call('a');
    const waiting = call('a');
    await turn();
    slots.close();
    await turn();
    assert.equal(Reflect.get(Object(waiting.error), 'code'), 'ERR_CLOSED');
  });

  it('keep their limits, lose no slot and start every call that may start, for any sequence', async () => {
    const index = fc.nat(30);
    const event = fc.oneof(
      { weight: 4, arbitrary: fc.record({ what: fc.constant('call' as const), index: fc.nat(5) }) },
      { weight: 3, arbitrary: fc.record({ what: fc.constant('release' as const), index }) },
      { weight: 1, arbitrary: fc.record({ what: fc.constant('abort' as const), index }) },
      { weight: 1, arbitrary: fc.record({ what: fc.constant('pass' as const), index: fc.nat(20_000) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
        slots = new CallSlots(bounds);
        const made = new Calls(call);
        for (const { what, index } of events) {
          if (what === 'pass') {
            mock.timers.tick(index);
          } else {
            made[what](index);
          }
          await turn();
          check(made);
        }
        while (made.inFlight.length > 0) {
          for (const one of made.inFlight) {
            made.end(one);
          }
          await turn();
        }
        assert.deepEqual(made.waiting, []);
        const { inFlight, slow, waiting } = slots.state;
        assert.deepEqual({ inFlight, slow, waiting }, { inFlight: 0, slow: 0, waiting: 0 });
      }),
      { numRuns: 150 },
    );
  });

  function check({ all, inFlight, waiting }: Calls): void {
    const { state } = slots;
    assert.deepEqual([state.inFlight, state.waiting], [inFlight.length, waiting.length]);
    assert.ok(inFlight.length <= bounds.quick + bounds.slow);
    const ofKey = (key: string) => inFlight.filter((one) => one.key === key).length;
    for (const { key } of all) {
      assert.ok(ofKey(key) <= bounds.perKey);
    }
    const isQuickFull = inFlight.length - Math.min(state.slow, bounds.slow) >= bounds.quick;
    const mayStart = waiting.some(({ key }) => ofKey(key) < bounds.perKey);
    assert.ok(!mayStart || isQuickFull || state.slow >= bounds.slow);
  }
});

/** The calls of one run. */
class Calls {
  readonly all: (Call & { readonly stop: AbortController })[] = [];
  readonly #ended = new Set<Call>();
  readonly #make: (key: string, signal: AbortSignal) => Call;

  constructor(make: (key: string, signal: AbortSignal) => Call) {
    this.#make = make;
  }

  get inFlight(): Call[] {
    return this.all.filter((one) => one.release !== undefined && !this.#ended.has(one));
  }

  get waiting(): Call[] {
    return this.all.filter(({ release, error }) => release === undefined && error === undefined);
  }

  call(index: number): void {
    const stop = new AbortController();
    this.all.push(Object.assign(this.#make(`${index}`, stop.signal), { stop }));
  }

  release(index: number): void {
    const { inFlight } = this;
    const one = inFlight[index % Math.max(1, inFlight.length)];
    if (one !== undefined) {
      this.end(one);
    }
  }

  end(one: Call): void {
    one.release?.();
    this.#ended.add(one);
  }

  abort(index: number): void {
    this.all[index % Math.max(1, this.all.length)]?.stop.abort();
  }
}
