import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DesiredHosts } from '../../src/pull-secrets/merge.ts';
import { coalesceWrites } from '../../src/pull-secrets/write-queue.ts';
import { fakeToken } from './pull-secret-fixtures.ts';

/** Writes that end when told to. */
function gatedWrites() {
  const writes: {
    namespace: string;
    wanted: DesiredHosts;
    addableHosts: string[];
    end: () => void;
    fail: (error: Error) => void;
  }[] = [];
  const write = coalesceWrites((namespace, wanted, addableHosts) => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    writes.push({ namespace, wanted, addableHosts: [...addableHosts], end: () => resolve([]), fail: reject });
    return promise;
  });
  return { write, writes };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('writes in a namespace', () => {
  it('are one for all that comes at once, and one more for all that comes meanwhile', async () => {
    const { write, writes } = gatedWrites();
    const first = Array.from({ length: 100 }, (_, index) => write('a', new Map([[`h${index}`, undefined]])));
    await turn();
    assert.equal(writes.length, 1);
    assert.equal(writes[0]?.wanted.size, 100);
    const second = Array.from({ length: 100 }, (_, index) => write('a', new Map([[`x${index}`, undefined]])));
    await turn();
    assert.equal(writes.length, 1, 'never two at once');
    writes[0]?.end();
    await Promise.all(first);
    await turn();
    assert.equal(writes.length, 2);
    assert.equal(writes[1]?.wanted.size, 100);
    writes[1]?.end();
    await Promise.all(second);
  });

  it('do not wait for another namespace', async () => {
    const { write, writes } = gatedWrites();
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

  it('fail for those who asked, and leave the next ones alone', async () => {
    const { write, writes } = gatedWrites();
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

  it('keep the later of two tokens, and a token over none', async () => {
    const { write, writes } = gatedWrites();
    const [early, late] = [fakeToken('early', 1_000), fakeToken('late', 2_000)];
    const all = [undefined, late, early, undefined].map((token) => write('a', new Map([['h', token]])));
    await turn();
    assert.equal(writes[0]?.wanted.get('h'), late);
    writes[0]?.end();
    await Promise.all(all);
  });

  it('may add what one of the callers lets them add', async () => {
    const { write, writes } = gatedWrites();
    const hosts = new Map([
      ['a', undefined],
      ['b', undefined],
    ]);
    const one = new Map([['b', undefined]]);
    const all = [write('n', hosts, new Set()), write('n', one, new Set(['a', 'b']))];
    await turn();
    assert.deepEqual(writes[0]?.addableHosts, ['b'], 'the second caller does not want a');
    writes[0]?.end();
    await Promise.all(all);
  });
});
