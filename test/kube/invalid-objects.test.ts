// Tests that an object or watch line that cannot be parsed is reported and does not disturb the others.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { maxObjectBytes } from '../../src/kube/bounded-http.ts';
import { createInformer, type Informer } from '../../src/kube/informer.ts';
import { listAll } from '../../src/kube/list.ts';
import type { ObjectError } from '../../src/kube/object-error.ts';
import {
  acceptMetadata,
  getMetadata,
  type ObjectIdentity,
  type Resource,
  type ResourceEventHandler,
} from '../../src/kube/resource.ts';

import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { eventually } from '../support/eventually.ts';
import { type RawServer, startRawServer, writeBlocks } from './raw-server.ts';
import { createConfig, secretName } from './secret-api-fixtures.ts';

/** An informer, and what its handler received. */
interface Recording {
  readonly known: Map<string, string>;
  readonly lists: number[];
  readonly removed: string[];
  readonly rejected: string[];
  readonly errors: string[];
  readonly objectErrors: ObjectError[];
}

const secrets: Resource<ObjectIdentity> = {
  noun: 'Secrets',
  path: '/api/v1/secrets',
  query: { fieldSelector: `metadata.name=${secretName}` },
  accept: acceptMetadata,
  parseItem: (object) => {
    const { namespace, name, uid, resourceVersion } = getMetadata(object) as unknown as ObjectIdentity;
    return { namespace, name, uid, resourceVersion };
  },
};

function recording(): Recording & { handler: ResourceEventHandler<ObjectIdentity> } {
  const recorded = {
    known: new Map<string, string>(),
    lists: [] as number[],
    removed: [] as string[],
    rejected: [] as string[],
    errors: [] as string[],
    objectErrors: [] as ObjectError[],
  };
  return {
    ...recorded,
    handler: {
      replace: (items) => {
        recorded.lists.push(items.length);
        recorded.known.clear();
        recorded.rejected.length = 0; // a list replaces everything, so that rejected objects are reported after it
        for (const item of items) {
          recorded.known.set(item.namespace, item.resourceVersion);
        }
      },
      set: (item) => void recorded.known.set(item.namespace, item.resourceVersion),
      remove: ({ namespace }) => {
        recorded.removed.push(namespace);
        recorded.known.delete(namespace);
      },
      reject: ({ namespace }) => void recorded.rejected.push(namespace),
    },
  };
}

const throwFor = (namespace: string) => {
  if (namespace === 'bad') {
    throw new TypeError('a bug');
  }
};

describe('an object that cannot be parsed', () => {
  let server: ApiStandIn;
  let watch: Informer | undefined;
  beforeEach(async () => {
    server = await startApiStandIn();
    for (const namespace of ['a', 'bad', 'c']) {
      seed(namespace);
    }
  });
  afterEach(async () => {
    await watch?.stop();
    await server.stop();
  });
  const seed = (namespace: string): void =>
    void server.seed(`/api/v1/namespaces/${namespace}/secrets/${secretName}`, {});

  const broken: Record<
    string,
    (recorded: ReturnType<typeof recording>) => Partial<Resource<ObjectIdentity>>
  > = {
    'whose item throws': () => ({
      parseItem: (object) => {
        throwFor(String(getMetadata(object)['namespace']));
        return secrets.parseItem(object);
      },
    }),
    'whose set throws': ({ handler }) => {
      const { set } = handler;
      handler.set = (item) => {
        throwFor(item.namespace);
        set(item);
      };
      return {};
    },
  };

  for (const [which, breaks] of Object.entries(broken)) {
    it(`${which} is reported once and rejected, and all others are watched`, async () => {
      const recorded = recording();
      const resource = { ...secrets, ...breaks(recorded) };
      const config = createConfig(server.kubeconfigPath);
      watch = createInformer({
        config,
        resource,
        handler: recorded.handler,
        onError: ({ code }) => recorded.errors.push(code),
        onObjectError: (error) => {
          recorded.objectErrors.push(error);
          throw new Error('a bug of the callback');
        },
        backoff: () => 1,
      });
      await watch.start();
      await eventually('a watch is open', () => server.openWatches > 0);
      assert.deepEqual([recorded.lists, watch.isInSync()], [[2], true]);
      assert.ok(recorded.rejected.includes('bad'));
      await server.request('PUT', `/api/v1/namespaces/bad/secrets/${secretName}`, {
        metadata: { name: secretName, labels: { changed: 'yes' } },
      });
      seed('d');
      await eventually('the next object is seen', () => recorded.known.has('d'));
      assert.deepEqual([recorded.lists, recorded.errors], [[2], []], 'no failure, no list');
      server.faults.compact();
      server.faults.dropWatches('end');
      seed('e');
      await eventually('the watch goes on after the bad object', () => recorded.known.has('e'));
      server.faults.expireWatches();
      await eventually('a second list', () => recorded.lists.length === 2);
      assert.deepEqual([recorded.lists, watch.isInSync()], [[2, 4], true]);
      assert.equal(recorded.objectErrors.length, 1, 'once, though it was seen four times');
      const [{ resource: collection, namespace, objectName, message } = assert.fail()] =
        recorded.objectErrors;
      assert.deepEqual([collection, namespace, objectName], ['secrets', 'bad', secretName]);
      assert.match(
        message,
        /^cannot parse secrets bad\/pull-secret: TypeError: a bug; it is treated as unmanaged$/,
      );
      await server.request('DELETE', `/api/v1/namespaces/bad/secrets/${secretName}`);
      await eventually('its end is seen', () => recorded.removed.includes('bad'));
      await config.close();
    });
  }

  it('is skipped in a single list, with a warning', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const config = createConfig(server.kubeconfigPath);
    const resource = { ...secrets, ...broken['whose item throws']?.(recording()) };
    const { items } = await listAll(config, resource, new AbortController().signal);
    assert.deepEqual(
      items.map(({ namespace }) => namespace),
      ['a', 'c'],
    );
    await eventually('a warning', () => warnings.some(({ message }) => message.includes('secrets bad/')));
    process.off('warning', onWarning);
    await config.close();
  });
});

describe('an invalid line of a watch', () => {
  const listAt = (resourceVersion: string) => JSON.stringify({ metadata: { resourceVersion }, items: [] });
  const event = (namespace: string, resourceVersion: string) =>
    JSON.stringify({
      type: 'ADDED',
      object: { metadata: { namespace, name: secretName, uid: 'u', resourceVersion } },
    });
  let server: RawServer;
  let watch: Informer;
  afterEach(async () => {
    await watch.stop();
    await server.stop();
  });

  const lines: Record<string, string> = {
    'no JSON': '{"type":"ADDED","object":',
    'no event': '{"type":"NEWS","object":{"metadata":{"resourceVersion":"2"}}}',
    'an event without a resourceVersion':
      '{"type":"ADDED","object":{"metadata":{"namespace":"a","name":"x"}}}',
    'an event of no object': '{"type":"MODIFIED"}',
    'a text': '"ADDED"',
  };

  for (const [what, line] of Object.entries(lines)) {
    it(`that is ${what} is skipped and causes one list`, async () => {
      const recorded = recording();
      let watches = 0;
      let endFirst: (() => void) | undefined;
      server = await startRawServer((_, response, url) => {
        if (url.searchParams.get('watch') === null) {
          response.end(listAt(watches === 0 ? '1' : '8'));
          return;
        }
        watches += 1;
        response.write(
          watches === 1 ? `${line}\n${line}\n${event('after', '7')}\n` : `${event('later', '9')}\n`,
        );
        endFirst = () => response.end();
      });
      watch = createInformer({
        config: server.config,
        resource: secrets,
        handler: recorded.handler,
        onError: ({ message }) => recorded.errors.push(message),
        backoff: () => 1,
      });
      await watch.start();
      await eventually('what comes after it is seen', () => recorded.known.has('after'));
      assert.deepEqual([recorded.lists, watch.isInSync(), watches], [[0], true, 1]);
      assert.equal(recorded.errors.length, 1, 'once for a stream');
      assert.match(recorded.errors[0] ?? '', /a line is not a watch event/);
      endFirst?.();
      await eventually('the next stream', () => recorded.known.has('later'));
      assert.deepEqual([recorded.lists, watch.isInSync(), recorded.errors.length], [[0, 0], true, 1]);
    });
  }

  it('that is longer than any object is skipped without being buffered', async () => {
    const recorded = recording();
    server = await startRawServer((_, response, url) => {
      if (url.searchParams.get('watch') === null) {
        response.end(listAt('1'));
        return;
      }
      const tooLong = writeBlocks(response, 'x'.repeat(1024 * 1024), maxObjectBytes + 1);
      void tooLong.then(() => response.write(`\n${event('after', '7')}\n`));
    });
    watch = createInformer({
      config: server.config,
      resource: secrets,
      handler: recorded.handler,
      onError: ({ message }) => recorded.errors.push(message),
      backoff: () => 1,
    });
    await watch.start();
    await eventually('what comes after it is seen', () => recorded.known.has('after'), 30_000);
    assert.deepEqual([recorded.lists, watch.isInSync(), recorded.errors.length], [[0], true, 1]);
    assert.match(recorded.errors[0] ?? '', /a line is too long/);
  });
});
