// Tests when the informer lists again, and when it continues a watch.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import type { RequestAttributes } from '../doubles/api-server/rbac.ts';
import { eventually } from '../support/eventually.ts';
import { createRecordedWatch, type RecordedWatch } from './recorded-watch.ts';
import { createConfig, secretName } from './secret-api-fixtures.ts';

const watches = ({ verb }: RequestAttributes): boolean => verb === 'watch';
const lists = ({ verb }: RequestAttributes): boolean => verb === 'list';

describe('the informer', () => {
  let server: ApiStandIn;
  let recorded: RecordedWatch;
  beforeEach(async () => {
    server = await startApiStandIn();
    recorded = createRecordedWatch(server.kubeconfigPath);
  });
  afterEach(async () => {
    await recorded.stop();
    await server.stop();
  });
  const seed = (namespace: string, name = secretName): void =>
    void server.seed(`/api/v1/namespaces/${namespace}/secrets/${name}`, {});
  const started = async (options: Parameters<typeof createRecordedWatch>[1] = {}): Promise<RecordedWatch> => {
    await recorded.stop();
    recorded = createRecordedWatch(server.kubeconfigPath, options);
    await recorded.watch.start();
    await eventually('a watch is open', () => server.openWatches > 0);
    return recorded;
  };
  const seesNew = async (namespace: string): Promise<void> => {
    seed(namespace);
    await eventually(`the Secret of ${namespace} is seen`, () => recorded.known.has(namespace));
  };

  it('lists 10,000 Secrets page by page, and no other Secret', async () => {
    for (let index = 0; index < 10_000; index += 1) {
      seed(`n${index}`);
    }
    seed('n1', 'another');
    await started();
    assert.deepEqual(recorded.lists, [10_000]);
    assert.equal(server.requests.count('list', 'secrets'), 20);
    assert.equal(recorded.watch.isInSync(), true);
  });

  it('starts over if a page cannot be continued', async () => {
    for (let index = 0; index < 700; index += 1) {
      seed(`n${index}`);
    }
    let requests = 0;
    server.faults.failNext(410, { match: (request) => lists(request) && ++requests === 2 });
    await started();
    assert.deepEqual(recorded.lists, [700]);
    assert.deepEqual(
      recorded.errors.map(({ code }) => code),
      ['gone'],
    );
  });

  it('retries when the first lists fail, and is not in sync before one succeeds', async () => {
    server.faults.failNext(500, { count: 1_000_000, match: lists });
    const starting = recorded.watch.start();
    await eventually('errors', () => recorded.errors.length > 2);
    assert.equal(recorded.watch.isInSync(), false);
    assert.deepEqual(recorded.requestedBackoffs.slice(0, 3), [1, 2, 3]);
    assert.equal(recorded.errors[0]?.code, 'server-error');
    server.faults.clear();
    await starting;
    assert.equal(recorded.watch.isInSync(), true);
  });

  it('continues after an orderly end, without a list or an error', async () => {
    await started();
    await seesNew('one');
    // An earlier version has been compacted.
    server.faults.compact();
    server.faults.dropWatches('end');
    await seesNew('two');
    assert.deepEqual([recorded.lists.length, recorded.errors.length], [1, 0]);
  });

  it('continues after a reset, a failure, and a restart of the API server', async () => {
    await started();
    server.faults.dropWatches('reset');
    await seesNew('one');
    server.faults.failNext(500, { count: 2, match: watches });
    server.faults.dropWatches('reset');
    await seesNew('two');
    await server.takeDown();
    seed('three');
    await eventually('a refused connection', () =>
      recorded.errors.some(({ message }) => message.includes('ECONNREFUSED')),
    );
    await server.bringUp();
    await eventually('what happened during the restart is seen', () => recorded.known.has('three'));
    assert.equal(recorded.lists.length, 1);
  });

  it('lists again after 410, as a status, as an event, and for a compacted version', async () => {
    await started();
    server.faults.failNext(410, { match: watches });
    server.faults.dropWatches('reset');
    await eventually('a list after the status', () => recorded.lists.length === 2);
    await eventually('a watch is open', () => server.openWatches > 0);
    server.faults.expireWatches();
    await eventually('a list after the event', () => recorded.lists.length === 3);
    await eventually('a watch is open', () => server.openWatches > 0);
    await server.takeDown();
    seed('missed');
    server.faults.compact();
    await server.bringUp();
    await eventually('what was compacted away is seen', () => recorded.known.has('missed'));
    assert.equal(recorded.lists.length, 4);
    const codes = recorded.errors.map(({ code }) => code).filter((code) => code !== 'network');
    assert.deepEqual(codes, ['gone', 'gone', 'gone']);
  });

  it('distinguishes a dead connection from a quiet one', async () => {
    await started({ streamSeconds: 1, slackMs: 400 });
    await eventually(
      'a quiet stream ends and the next one begins',
      () => server.requests.count('watch', 'secrets') > 1,
    );
    assert.equal(recorded.errors.length, 0);
    server.faults.silence();
    seed('unheard');
    await eventually('the silence is noticed', () => recorded.errors.length > 0);
    assert.equal(recorded.errors[0]?.code, 'timeout');
    server.faults.clear();
    await eventually('what was not heard is seen', () => recorded.known.has('unheard'));
    assert.equal(recorded.lists.length, 1);
  });

  it('aborts a list and a watch that get no response', async () => {
    const slow = createConfig(server.kubeconfigPath, 50);
    server.faults.hang(lists);
    await recorded.stop();
    recorded = createRecordedWatch(server.kubeconfigPath, { config: slow });
    const starting = recorded.watch.start();
    await eventually('the list is given up', () => recorded.errors.length > 0);
    server.faults.clear();
    server.faults.hang(watches);
    await starting;
    recorded.errors.length = 0;
    await eventually('the watch is given up', () => recorded.errors.length > 0);
    assert.equal(recorded.errors[0]?.code, 'timeout');
    server.faults.clear();
    await seesNew('one');
  });

  it('lists again if the handler throws for a list, and survives an error of onError', async () => {
    const failures: string[] = [];
    const handler = {
      replace: (items: readonly unknown[]) => {
        recorded.lists.push(items.length);
        if (recorded.lists.length === 1) {
          throw new TypeError('a bug');
        }
      },
      set: () => undefined,
      remove: () => undefined,
    };
    const onError = ({ message }: Error): void => {
      failures.push(message);
      throw new Error('a bug in onError');
    };
    await started({ handler, onError });
    assert.deepEqual(recorded.lists, [0, 0]);
    assert.match(failures[0] ?? '', /TypeError: a bug/);
  });
});
