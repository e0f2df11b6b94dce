// Tests which request bodies are rejected when too many bytes are in flight.
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { BodyReceiver } from '../../src/webhook/body-receiver.ts';
import { eventually } from '../support/eventually.ts';

const limits = { maxBodyBytes: 100, smallBodyBytes: 10, maxBytesInFlight: 60, slowBodyMs: 1_000 };

/** A request whose body a test sends in pieces. */
class SentRequest extends PassThrough {
  readonly headers: Record<string, string> = {};
  readonly socket = { destroyed: false };
  outcome = 'receiving';
}

function createReceiver() {
  const clock = { now: 0 };
  const receiver = new BodyReceiver(limits, () => clock.now);
  const begin = (declared?: number): SentRequest => {
    const sent = new SentRequest();
    if (declared !== undefined) {
      sent.headers['content-length'] = String(declared);
    }
    receiver.receive(sent as unknown as IncomingMessage, (error, body) => {
      sent.outcome = error === undefined ? `${body?.length} bytes` : error.code;
    });
    return sent;
  };
  const send = async (sent: SentRequest, bytes: number) => {
    await new Promise((resolve) => sent.write(Buffer.alloc(bytes), resolve));
  };
  return { clock, receiver, begin, send };
}

describe('bodies in flight', () => {
  it('above the maximum are rejected at once, and their bytes no longer count', async () => {
    const { receiver, begin, send } = createReceiver();
    const [first, second] = [begin(), begin()];
    await send(first, 60);
    assert.equal(receiver.bytesInFlight, 50);
    await send(second, 40);
    assert.deepEqual([first.outcome, second.outcome], ['receiving', 'overloaded']);
    assert.equal(receiver.bytesInFlight, 50);
  });

  it('that are small do not count', async () => {
    const { receiver, begin, send } = createReceiver();
    await send(begin(), 60);
    const small = begin();
    await send(small, 10);
    small.end();
    await eventually('it is delivered', () => small.outcome === '10 bytes');
    assert.equal(receiver.bytesInFlight, 50);
  });

  it('are rejected to make room if they are slow, the oldest first', async () => {
    const { clock, begin, send } = createReceiver();
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

  it('do not count once they are delivered, or their client has disconnected', async () => {
    const { receiver, begin, send } = createReceiver();
    const [complete, aborted] = [begin(), begin()];
    await send(complete, 40);
    complete.end();
    await eventually('it is delivered', () => complete.outcome === '40 bytes');
    await send(aborted, 40);
    aborted.destroy();
    await eventually('nothing counts', () => receiver.bytesInFlight === 0);
    assert.equal(aborted.outcome, 'receiving');
  });

  it('that are too large are rejected, with a declared length or without', async () => {
    const { receiver, begin, send } = createReceiver();
    assert.equal(begin(101).outcome, 'body-too-large');
    const undeclared = begin();
    await send(undeclared, 60);
    await send(undeclared, 41);
    assert.equal(undeclared.outcome, 'body-too-large');
    assert.equal(receiver.bytesInFlight, 0);
  });
});
