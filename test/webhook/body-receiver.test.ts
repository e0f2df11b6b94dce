import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { BodyReceiver } from '../../src/webhook/body-receiver.ts';
import { eventually } from '../support/eventually.ts';

const limits = { maxBodyBytes: 100, smallBodyBytes: 10, maxBytesInFlight: 60, slowBodyMs: 1_000 };

/** A body that a test sends piece by piece. */
class Sent extends PassThrough {
  readonly headers: Record<string, string> = {};
  readonly socket = { destroyed: false };
  outcome = 'receiving';
}

function intake() {
  const clock = { now: 0 };
  const bodies = new BodyReceiver(limits, () => clock.now);
  const begin = (declared?: number): Sent => {
    const sent = new Sent();
    if (declared !== undefined) {
      sent.headers['content-length'] = String(declared);
    }
    bodies.receive(sent as unknown as IncomingMessage, (error, body) => {
      sent.outcome = error === undefined ? `${body?.length} bytes` : error.code;
    });
    return sent;
  };
  const send = async (sent: Sent, bytes: number) => {
    await new Promise((resolve) => sent.write(Buffer.alloc(bytes), resolve));
  };
  return { clock, bodies, begin, send };
}

describe('bodies in flight', () => {
  it('above the bound are refused at once, and their bytes do not count any more', async () => {
    const { bodies, begin, send } = intake();
    const [first, second] = [begin(), begin()];
    await send(first, 60);
    assert.equal(bodies.bytesInFlight, 50);
    await send(second, 40);
    assert.deepEqual([first.outcome, second.outcome], ['receiving', 'overloaded']);
    assert.equal(bodies.bytesInFlight, 50);
  });

  it('of ordinary size do not count', async () => {
    const { bodies, begin, send } = intake();
    await send(begin(), 60);
    const small = begin();
    await send(small, 10);
    small.end();
    await eventually('it is passed on', () => small.outcome === '10 bytes');
    assert.equal(bodies.bytesInFlight, 50);
  });

  it('make room if they are slow, the oldest first', async () => {
    const { clock, begin, send } = intake();
    const slow = begin();
    await send(slow, 40);
    clock.now = limits.slowBodyMs - 1;
    const early = begin();
    await send(early, 60);
    assert.deepEqual([slow.outcome, early.outcome], ['receiving', 'overloaded']);
    clock.now = limits.slowBodyMs;
    const late = begin();
    await send(late, 60);
    assert.deepEqual([slow.outcome, late.outcome], ['overloaded', 'receiving']);
  });

  it('do not count once they are passed on, or their client is gone', async () => {
    const { bodies, begin, send } = intake();
    const [whole, aborted] = [begin(), begin()];
    await send(whole, 40);
    whole.end();
    await eventually('it is passed on', () => whole.outcome === '40 bytes');
    await send(aborted, 40);
    aborted.destroy();
    await eventually('nothing counts', () => bodies.bytesInFlight === 0);
    assert.equal(aborted.outcome, 'receiving');
  });

  it('that are too large are refused, declared or not', async () => {
    const { bodies, begin, send } = intake();
    assert.equal(begin(101).outcome, 'body-too-large');
    const undeclared = begin();
    await send(undeclared, 60);
    await send(undeclared, 41);
    assert.equal(undeclared.outcome, 'body-too-large');
    assert.equal(bodies.bytesInFlight, 0);
  });
});
