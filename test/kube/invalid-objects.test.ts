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
        recorded.rejected.length = 0; // a list is all there is, so that what is rejected has to be told after it
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

  const broken: Record<string, (told: ReturnType<typeof recording>) => Partial<Resource<ObjectIdentity>>> = {
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
      const told = recording();
      const resource = { ...secrets, ...breaks(told) };
      const config = createConfig(server.kubeconfigPath);
      watch = createInformer({
        config,
        resource,
        handler: told.handler,
        onError: ({ code }) => told.errors.push(code),
        onObjectError: (error) => {
          told.objectErrors.push(error);
          throw new Error('a bug of who is told');
        },
        backoff: () => 1,
      });
      await watch.start();
      await eventually('a watch is open', () => server.openWatches > 0);
      assert.deepEqual([told.lists, watch.isInSync()], [[2], true]);
      assert.ok(told.rejected.includes('bad'));
      await server.request('PUT', `/api/v1/namespaces/bad/secrets/${secretName}`, {
        metadata: { name: secretName, labels: { changed: 'yes' } },
      });
      seed('d');
      await eventually('the next object is seen', () => told.known.has('d'));
      assert.deepEqual([told.lists, told.errors], [[2], []], 'no failure, no list');
      server.faults.compact();
      server.faults.dropWatches('end');
      seed('e');
      await eventually('the watch goes on after the bad object', () => told.known.has('e'));
      server.faults.expireWatches();
      await eventually('a second list', () => told.lists.length === 2);
      assert.deepEqual([told.lists, watch.isInSync()], [[2, 4], true]);
      assert.equal(told.objectErrors.length, 1, 'once, though it was seen four times');
      const [{ resource: collection, namespace, objectName, message } = assert.fail()] = told.objectErrors;
      assert.deepEqual([collection, namespace, objectName], ['secrets', 'bad', secretName]);
      assert.match(
        message,
        /^cannot parse secrets bad\/pull-secret: TypeError: a bug; it is treated as unmanaged$/,
      );
      await server.request('DELETE', `/api/v1/namespaces/bad/secrets/${secretName}`);
      await eventually('its end is seen', () => told.removed.includes('bad'));
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
      const told = recording();
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
        handler: told.handler,
        onError: ({ message }) => told.errors.push(message),
        backoff: () => 1,
      });
      await watch.start();
      await eventually('what comes after it is seen', () => told.known.has('after'));
      assert.deepEqual([told.lists, watch.isInSync(), watches], [[0], true, 1]);
      assert.equal(told.errors.length, 1, 'once for a stream');
      assert.match(told.errors[0] ?? '', /a line is not a watch event/);
      endFirst?.();
      await eventually('the next stream', () => told.known.has('later'));
      assert.deepEqual([told.lists, watch.isInSync(), told.errors.length], [[0, 0], true, 1]);
    });
  }

  it('that is longer than any object is skipped without being buffered', async () => {
    const told = recording();
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
      handler: told.handler,
      onError: ({ message }) => told.errors.push(message),
      backoff: () => 1,
    });
    await watch.start();
    await eventually('what comes after it is seen', () => told.known.has('after'), 30_000);
    assert.deepEqual([told.lists, watch.isInSync(), told.errors.length], [[0], true, 1]);
    assert.match(told.errors[0] ?? '', /a line is too long/);
  });
});
