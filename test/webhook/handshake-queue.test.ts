import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HandshakeQueue } from '../../src/webhook/handshake-queue.ts';
import { eventually } from '../support/eventually.ts';

function socketFrom(address: string): Socket {
  return Object.defineProperty(new Socket(), 'remoteAddress', { value: address });
}

describe('TLS handshakes', () => {
  it('start a few in each turn of the event loop, round-robin by client address', async () => {
    const queue = new HandshakeQueue({ maxStartsPerTick: 4, maxInProgress: 100, maxWaitMs: 60_000 });
    const started: string[] = [];
    const add = (address: string) => queue.add(socketFrom(address), () => started.push(address));
    for (let count = 0; count < 10; count += 1) {
      add('other-client');
    }
    add('api-server');
    assert.deepEqual(started, []);
    await nextTurn();
    assert.deepEqual(started, ['other-client', 'api-server', 'other-client', 'other-client']);
    await eventually('all have started', () => started.length === 11);
  });

  it('wait while too many are in progress, and start when one is done or closed', async () => {
    const queue = new HandshakeQueue({ maxStartsPerTick: 16, maxInProgress: 2, maxWaitMs: 60_000 });
    const sockets = Array.from({ length: 4 }, () => socketFrom('a'));
    let started = 0;
    for (const socket of sockets) {
      queue.add(socket, () => {
        started += 1;
      });
    }
    await nextTurn();
    await nextTurn();
    assert.equal(started, 2);
    queue.done(sockets[0] ?? new Socket());
    await eventually('the third has started', () => started === 3);
    sockets[1]?.destroy();
    await eventually('the fourth has started', () => started === 4);
    assert.equal(sockets[0]?.destroyed, false);
  });

  it('that take too long are closed to make room for others, the oldest first', async () => {
    const queue = new HandshakeQueue({ maxStartsPerTick: 16, maxInProgress: 1, maxWaitMs: 20 });
    const [stalled, other] = [socketFrom('a'), socketFrom('b')];
    const started: Socket[] = [];
    for (const socket of [stalled, other]) {
      queue.add(socket, () => started.push(socket));
    }
    await eventually('the other has started', () => started.includes(other));
    assert.deepEqual([stalled.destroyed, other.destroyed], [true, false]);
  });

  it('do not start on a connection that has closed', async () => {
    const queue = new HandshakeQueue({ maxStartsPerTick: 16, maxInProgress: 16, maxWaitMs: 60_000 });
    const [closed, other] = [socketFrom('a'), socketFrom('a')];
    const started: Socket[] = [];
    queue.add(closed, () => started.push(closed));
    queue.add(other, () => started.push(other));
    closed.destroy();
    await eventually('the other has started', () => started.includes(other));
    assert.deepEqual(started, [other]);
  });
});
