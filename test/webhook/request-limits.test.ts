import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { throttleReport } from '../../src/util/throttle-report.ts';
import { ChunkBuffer } from '../../src/webhook/chunk-buffer.ts';
import { type Connection, selectConnectionToEvict } from '../../src/webhook/connection-eviction.ts';
import { mayExceedValueCount } from '../../src/webhook/json-scan.ts';
import { PendingHostCounter } from '../../src/webhook/waiting-hosts.ts';

describe('the bound on values', () => {
  const hostile = fc.constantFrom('[', '{', ',', '"', '\\', '\\"', '],[', 'ü€');
  const text = fc.oneof(hostile, fc.string({ maxLength: 12 }));
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 5 },
      text,
      fc.integer(),
      fc.constantFrom(null, true),
      fc.array(tie('json'), { maxLength: 5 }),
      fc.dictionary(text, tie('json'), { maxKeys: 5 }),
    ),
  }));

  it('refuses every JSON with more values, and none with half as many', () => {
    fc.assert(
      fc.property(json, fc.nat(20), (value, max) => {
        const more = mayExceedValueCount(Buffer.from(JSON.stringify(value)), max);
        const values = countValues(value);
        if (values > max + 1) {
          assert.ok(more);
        }
        if (values * 2 <= max) {
          assert.ok(!more);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('ends for anything', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat(20), (bytes, max) => {
        mayExceedValueCount(Buffer.from(bytes), max);
      }),
    );
  });
});

/** All values of a JSON value, itself included. */
function countValues(value: unknown): number {
  return typeof value === 'object' && value !== null
    ? Object.values(value).reduce((sum: number, inner) => sum + countValues(inner), 1)
    : 1;
}

describe('gathered chunks', () => {
  it('come out as they went in, and take no more memory than their content and a block', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 })),
        fc.integer({ min: 1, max: 64 }),
        (chunks, block) => {
          const gathered = new ChunkBuffer(block);
          for (const chunk of chunks) {
            gathered.add(Buffer.from(chunk));
          }
          const whole = Buffer.concat(chunks);
          assert.equal(gathered.length, whole.length);
          assert.ok(gathered.allocatedBytes < whole.length + block);
          assert.deepEqual(gathered.take(), whole);
          assert.equal(gathered.allocatedBytes, 0);
        },
      ),
    );
  });
});

describe('the connection that makes room', () => {
  const base: Connection = { address: '10.0.0.1', idleSince: 5, phase: 'idle', hasServed: false };
  const chosen = (...connections: Connection[]) => {
    const held = new Map<string, number>();
    for (const { address } of connections) {
      held.set(address, (held.get(address) ?? 0) + 1);
    }
    return selectConnectionToEvict(connections, held);
  };

  it('is one that never served, before an idle one that did, before one that is being served', () => {
    const served = { ...base, hasServed: true, idleSince: 1 };
    const waiting = { ...base, phase: 'waiting', idleSince: 0 } as const;
    for (const phase of ['handshake', 'idle', 'receiving'] as const) {
      const unused = { ...base, phase, idleSince: 9 };
      assert.equal(chosen(waiting, served, unused), unused);
    }
    assert.equal(chosen(waiting, served), served);
    assert.equal(chosen(waiting), waiting);
    assert.equal(chosen(), undefined);
  });

  it('is of the client with the most, though its own are served and that of another is new', () => {
    const served = { ...base, hasServed: true };
    const waiting = { ...base, phase: 'waiting' } as const;
    const newcomer = { ...base, address: '10.0.0.2', phase: 'handshake' } as const;
    assert.equal(chosen(newcomer, served, waiting), served);
    assert.equal(chosen(newcomer, waiting, waiting), waiting);
  });

  it('is of the client with the most, and of these the one that has been idle longest', () => {
    const alone = { ...base, address: '10.0.0.2', idleSince: 0 };
    const old = { ...base, idleSince: 1 };
    const young = { ...base, idleSince: 2 };
    assert.equal(chosen(alone, young, old), old);
    assert.equal(chosen({ ...young, address: '10.0.0.3' }, alone), alone);
  });
});

describe('waiting hosts', () => {
  it('are bounded for a namespace and in all, and there is room again when they end', () => {
    const waiting = new PendingHostCounter(10, 4);
    assert.ok(waiting.tryAdd('a', 4));
    assert.ok(!waiting.tryAdd('a', 1));
    assert.ok(waiting.tryAdd('b', 4));
    assert.ok(!waiting.tryAdd('c', 3));
    assert.ok(waiting.tryAdd('c', 2));
    waiting.remove('a', 4);
    assert.ok(waiting.tryAdd('a', 4));
  });
});

describe('a report that is made occasionally', () => {
  it('is made at once, then once in an interval, with the number of times', () => {
    let now = 1_000;
    const reports: [number, string][] = [];
    const report = throttleReport(
      60_000,
      () => now,
      (times, detail: string) => reports.push([times, detail]),
    );
    report('a');
    report('b');
    now += 59_999;
    report('c');
    now += 1;
    report('d');
    assert.deepEqual(reports, [
      [1, 'a'],
      [3, 'd'],
    ]);
  });
});
