// Tests which connection is closed when there are too many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Connection, selectConnectionToEvict } from '../../src/webhook/connection-eviction.ts';

describe('the connection that is evicted', () => {
  const base: Connection = { address: '10.0.0.1', idleSince: 5, phase: 'idle', hasServed: false };
  const selectFrom = (...connections: Connection[]) => {
    const countByAddress = new Map<string, number>();
    for (const { address } of connections) {
      countByAddress.set(address, (countByAddress.get(address) ?? 0) + 1);
    }
    return selectConnectionToEvict(connections, countByAddress);
  };

  it('is one that never served, then an idle one that did, then one whose request is being handled', () => {
    const served = { ...base, hasServed: true, idleSince: 1 };
    const waiting = { ...base, phase: 'waiting', idleSince: 0 } as const;
    for (const phase of ['handshake', 'idle', 'receiving'] as const) {
      const unused = { ...base, phase, idleSince: 9 };
      assert.equal(selectFrom(waiting, served, unused), unused);
    }
    assert.equal(selectFrom(waiting, served), served);
    assert.equal(selectFrom(waiting), waiting);
    assert.equal(selectFrom(), undefined);
  });

  it('belongs to the client with the most connections, even if these have served and that of another is new', () => {
    const served = { ...base, hasServed: true };
    const waiting = { ...base, phase: 'waiting' } as const;
    const newcomer = { ...base, address: '10.0.0.2', phase: 'handshake' } as const;
    assert.equal(selectFrom(newcomer, served, waiting), served);
    assert.equal(selectFrom(newcomer, waiting, waiting), waiting);
  });

  it('is the one that has been idle longest among those of the client with the most connections', () => {
    const alone = { ...base, address: '10.0.0.2', idleSince: 0 };
    const old = { ...base, idleSince: 1 };
    const recent = { ...base, idleSince: 2 };
    assert.equal(selectFrom(alone, recent, old), old);
    assert.equal(selectFrom({ ...recent, address: '10.0.0.3' }, alone), alone);
  });
});
