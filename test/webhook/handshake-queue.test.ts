// Tests that TLS handshakes are started fairly for all client addresses, within limits.
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HandshakeQueue } from '../../src/webhook/handshake-queue.ts';
import { eventually } from '../support/eventually.ts';

function socketFrom(address: string): Socket {
  return Object.defineProperty(new Socket(), 'remoteAddress', { value: address });
}

const noTimeout = { maxWaitMs: 60_000, maxWaitSameClientMs: 60_000 };

describe('TLS handshakes', () => {
  it('start a few in each turn of the event loop, round-robin by client address', async () => {
    const queue = new HandshakeQueue({ maxStartsPerTick: 4, maxInProgress: 100, ...noTimeout });
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
    const queue = new HandshakeQueue({ maxStartsPerTick: 16, maxInProgress: 2, ...noTimeout });
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
    const queue = new HandshakeQueue({
      maxStartsPerTick: 16,
      maxInProgress: 1,
      maxWaitMs: 20,
      maxWaitSameClientMs: 60_000,
    });
    const [stalled, other] = [socketFrom('a'), socketFrom('b')];
    const started: Socket[] = [];
    for (const socket of [stalled, other]) {
      queue.add(socket, () => started.push(socket));
    }
    await eventually('the other has started', () => started.includes(other));
    assert.deepEqual([stalled.destroyed, other.destroyed], [true, false]);
  });

  it('get more time while only handshakes of the same client are waiting', async () => {
    const queue = new HandshakeQueue({
      maxStartsPerTick: 16,
      maxInProgress: 1,
      maxWaitMs: 0,
      maxWaitSameClientMs: 60_000,
    });
    const [slow, next, other] = [socketFrom('a'), socketFrom('a'), socketFrom('b')];
    const started: Socket[] = [];
    const add = (socket: Socket) => queue.add(socket, () => started.push(socket));
    add(slow);
    add(next);
    await eventually('the first has started', () => started.includes(slow));
    for (let turns = 0; turns < 3; turns += 1) {
      await nextTurn();
    }
    assert.deepEqual([started.length, slow.destroyed], [1, false]);
    queue.done(slow);
    await eventually('the next has started', () => started.includes(next));
    add(other);
    await eventually('that of another client has started', () => started.includes(other));
    assert.deepEqual([slow.destroyed, next.destroyed], [false, true]);
  });

  it('do not start on a connection that has closed', async () => {
    const queue = new HandshakeQueue({ maxStartsPerTick: 16, maxInProgress: 16, ...noTimeout });
    const [closed, other] = [socketFrom('a'), socketFrom('a')];
    const started: Socket[] = [];
    queue.add(closed, () => started.push(closed));
    queue.add(other, () => started.push(other));
    closed.destroy();
    await eventually('the other has started', () => started.includes(other));
    assert.deepEqual(started, [other]);
  });
});
