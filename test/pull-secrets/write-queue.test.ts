// Tests that simultaneous writes in one namespace are merged into one, and do not affect other namespaces.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DesiredHosts } from '../../src/pull-secrets/merge.ts';
import { coalesceWrites } from '../../src/pull-secrets/write-queue.ts';
import { fakeToken } from './pull-secret-fixtures.ts';

/** A queue whose writes the test completes. */
function createGatedWrites() {
  const writes: {
    namespace: string;
    desired: DesiredHosts;
    addableHosts: string[];
    end: () => void;
    fail: (error: Error) => void;
  }[] = [];
  const write = coalesceWrites((namespace, desired, addableHosts) => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    writes.push({
      namespace,
      desired,
      addableHosts: [...addableHosts],
      end: () => resolve([]),
      fail: reject,
    });
    return promise;
  });
  return { write, writes };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('writes in a namespace', () => {
  it('are one for all simultaneous requests, and one more for all requests that arrive in the meantime', async () => {
    const { write, writes } = createGatedWrites();
    const first = Array.from({ length: 100 }, (_, index) => write('a', new Map([[`h${index}`, undefined]])));
    await turn();
    assert.equal(writes.length, 1);
    assert.equal(writes[0]?.desired.size, 100);
    const second = Array.from({ length: 100 }, (_, index) => write('a', new Map([[`x${index}`, undefined]])));
    await turn();
    assert.equal(writes.length, 1, 'no two writes are in flight at the same time');
    writes[0]?.end();
    await Promise.all(first);
    await turn();
    assert.equal(writes.length, 2);
    assert.equal(writes[1]?.desired.size, 100);
    writes[1]?.end();
    await Promise.all(second);
  });

  it('do not wait for another namespace', async () => {
    const { write, writes } = createGatedWrites();
    const both = [write('a', new Map()), write('b', new Map())];
    await turn();
    assert.deepEqual(
      writes.map(({ namespace }) => namespace),
      ['a', 'b'],
    );
    for (const { end } of writes) {
      end();
    }
    await Promise.all(both);
  });

  it('fail for their callers, and do not affect the next ones', async () => {
    const { write, writes } = createGatedWrites();
    const first = write('a', new Map());
    await turn();
    const second = write('a', new Map());
    writes[0]?.fail(new Error('refused'));
    await assert.rejects(first, /refused/);
    await turn();
    writes[1]?.end();
    await second;
    const third = write('a', new Map());
    await turn();
    writes[2]?.end();
    await third;
  });

  it('keep the later of two tokens, and prefer a token to none', async () => {
    const { write, writes } = createGatedWrites();
    const [early, late] = [fakeToken('early', 1_000), fakeToken('late', 2_000)];
    const all = [undefined, late, early, undefined].map((token) => write('a', new Map([['h', token]])));
    await turn();
    assert.equal(writes[0]?.desired.get('h'), late);
    writes[0]?.end();
    await Promise.all(all);
  });

  it('may add a host if at least one caller requests and allows it', async () => {
    const { write, writes } = createGatedWrites();
    const hosts = new Map([
      ['a', undefined],
      ['b', undefined],
    ]);
    const one = new Map([['b', undefined]]);
    const all = [write('n', hosts, new Set()), write('n', one, new Set(['a', 'b']))];
    await turn();
    assert.deepEqual(writes[0]?.addableHosts, ['b'], 'the second caller does not request a');
    writes[0]?.end();
    await Promise.all(all);
  });
});
