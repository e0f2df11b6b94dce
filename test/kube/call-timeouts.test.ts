// Tests that hanging calls to the API server leave connections and slots for other namespaces and for reads.
import assert from 'node:assert/strict';
import { createServer, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { createInformer } from '../../src/kube/informer.ts';
import { listAll } from '../../src/kube/list.ts';
import { getObjectIdentity } from '../../src/kube/object-error.ts';
import { acceptMetadata } from '../../src/kube/resource.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { eventually } from '../support/eventually.ts';
import { type RawServer, type RawServerOptions, startRawServer } from './raw-server.ts';
import { buildPullSecret, hasErrorCode, secretName } from './secret-api-fixtures.ts';

const force = { fieldManager: 'one', force: true };

/** Longer than every timeout in these tests, and shorter than the limit of the test runner. */
const longMs = 60_000;

const json = { 'content-type': 'application/json' };

function sendObject(response: ServerResponse | undefined): void {
  response?.writeHead(200, json).end(JSON.stringify(buildPullSecret('slow', 'password')));
}

function resourceNamed(name: string) {
  return {
    noun: `things ${name}`,
    path: `/api/v1/${name}`,
    query: {},
    accept: acceptMetadata,
    parseItem: getObjectIdentity,
  };
}

describe('calls to a slow API server', () => {
  let server: RawServer;
  let openWatches = 0;
  afterEach(() => server.stop());

  /** Hanging requests, as `METHOD NAMESPACE`. All others get an object. */
  const startServer = async (
    hangs: (method: string, path: string) => boolean,
    options: RawServerOptions = {},
  ) => {
    const hanging: { id: string; response: ServerResponse }[] = [];
    server = await startRawServer((incoming, response, url) => {
      const { method = '' } = incoming;
      const answer = () => sendObject(response);
      const [, namespace = url.pathname] = /namespaces\/([^/]+)\//.exec(url.pathname) ?? [];
      if (hangs(method, url.pathname)) {
        const call = { id: `${method} ${namespace}`, response };
        hanging.push(call);
        response.on('close', () => hanging.splice(hanging.indexOf(call), 1));
      } else if (url.searchParams.get('watch') === 'true') {
        response.writeHead(200).flushHeaders();
        openWatches += 1;
        response.on('close', () => {
          openWatches -= 1;
        });
      } else if (method === 'GET' && !url.pathname.includes('/secrets/')) {
        response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [] }));
      } else {
        incoming.resume().on('end', answer);
      }
    }, options);
    return hanging;
  };
  const write = (namespace: string) =>
    createSecretApi(server.config).apply(buildPullSecret(namespace, 'p'), force);
  const read = (namespace: string) => createSecretApi(server.config).read(namespace, secretName);

  it('use 4 connections for the writes of one namespace, and leave the others to its reads and other namespaces', async () => {
    const hanging = await startServer((method, path) => method === 'PATCH' && path.includes('/slow/'));
    const slow = Array.from({ length: 100 }, () => write('slow').catch(() => undefined));
    await eventually('slow writes', () => hanging.length === 4);
    await Promise.all([read('slow'), ...Array.from({ length: 100 }, (_, index) => write(`quick-${index}`))]);
    assert.equal(hanging.length, 4);
    assert.equal(server.config.calls.waiting, 96);
    await server.config.close();
    await Promise.all(slow);
  });

  it('leave slots for the writes of other namespaces while those of 200 namespaces hang', async () => {
    const hanging = await startServer((method, path) => method === 'PATCH' && path.includes('/slow-'));
    const known: Promise<unknown>[] = [];
    for (const first of [0, 16]) {
      for (let index = first; index < first + 16; index += 1) {
        known.push(write(`slow-${index}`).catch(() => undefined));
      }
      await eventually('they are slow', () => server.config.calls.slow === first + 16);
    }
    for (let index = 0; index < 96; index += 1) {
      known.push(write(`slow-${index % 32}`).catch(() => undefined));
    }
    await turn();
    assert.equal(hanging.length, 32);
    await Promise.all(Array.from({ length: 100 }, (_, index) => write(`quick-${index}`)));
    assert.equal(server.config.calls.slow, 32);
    await server.config.close();
    await Promise.all(known);
  });

  it('wait longer for a write than for a read', async () => {
    const hanging = await startServer((_, path) => path.includes('/slow/'), {
      requestTimeoutMs: 300,
      writeTimeoutMs: longMs,
    });
    const writing = write('slow');
    await eventually('the write is there', () => hanging.length === 1);
    await assert.rejects(read('slow'), hasErrorCode('timeout'));
    await assert.rejects(read('slow'), hasErrorCode('timeout'));
    for (const { id, response } of [...hanging]) {
      if (id === 'PATCH slow') {
        sendObject(response);
      }
    }
    assert.equal((await writing).metadata.namespace, 'slow');
  });

  it('give a call its full timeout after it has waited for others', async () => {
    // The first eight hang until their timeout, so the others wait for twice the time that a read may take.
    let arrived = 0;
    await startServer(
      () => {
        arrived += 1;
        return arrived <= 8;
      },
      { requestTimeoutMs: 2_000 },
    );
    const first = Array.from({ length: 8 }, () => assert.rejects(read('slow'), hasErrorCode('timeout')));
    const last = Array.from({ length: 4 }, () => read('slow'));
    await Promise.all([...first, ...last]);
    assert.equal(arrived, 12);
  });

  it('fail as overloaded if they were not sent', async () => {
    let overloads = 0;
    const onOverload = () => {
      overloads += 1;
    };
    const hanging = await startServer((method) => method === 'PATCH', { onOverload });
    const slow = Array.from({ length: 260 }, () => write('slow').catch(() => undefined));
    await eventually('slow writes', () => hanging.length === 4);
    await assert.rejects(write('slow'), (error) => {
      assert.match(
        String(error),
        /cannot apply Secret slow\/.* \(overloaded\): not sent, because too many calls/,
      );
      assert.doesNotMatch(String(error), /check the API server/);
      return hasErrorCode('overloaded')(error);
    });
    assert.deepEqual([overloads, server.config.calls.overloaded], [1, 1]);
    await server.config.close();
    await Promise.all(slow);
  });

  /** Opens 100 watches, and makes a call while they are open. */
  const watchAndCall = async (call: () => Promise<unknown>) => {
    const handler = { replace: () => undefined, set: () => undefined, remove: () => undefined };
    const watches = Array.from({ length: 100 }, (_, index) =>
      createInformer({ config: server.config, resource: resourceNamed(`things-${index}`), handler }),
    );
    await Promise.all(watches.map((watch) => watch.start()));
    await eventually('all watches are open', () => openWatches >= watches.length, longMs);
    assert.deepEqual(server.config.calls, { inFlight: 0, slow: 0, waiting: 0, overloaded: 0 });
    await call();
    await Promise.all(watches.map((watch) => watch.stop()));
  };

  it('are not delayed by any number of watches', async () => {
    await startServer(() => false);
    const { signal } = new AbortController();
    await watchAndCall(() =>
      Promise.all([read('a'), write('a'), listAll(server.config, resourceNamed('others'), signal)]),
    );
  });

  it('are not delayed by watches through a proxy', async () => {
    await startServer(() => false);
    const proxy = createServer(({ url = '', headers, method }, response) => {
      const upstream = request(url, { headers, method }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
        answer.on('error', () => response.destroy()).pipe(response);
      });
      upstream.on('error', () => response.destroy()).end();
      response.on('close', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as AddressInfo;
    const [cluster] = server.config.clusters;
    assert.ok(cluster);
    server.config.clusters = [{ ...cluster, proxyUrl: `http://127.0.0.1:${port}` }];
    await watchAndCall(() => read('a'));
    proxy.closeAllConnections();
    proxy.close();
  });

  it('are complete when nothing is in flight', async () => {
    const hanging = await startServer((method) => method === 'PATCH');
    const writing = write('slow');
    await eventually('the write is there', () => hanging.length === 1);
    let isIdle = false;
    const idle = server.config.waitUntilIdle().then(() => {
      isIdle = true;
    });
    await turn();
    assert.equal(isIdle, false);
    // A call that directly follows belongs to it.
    const chain = writing.then(() => read('slow'));
    sendObject(hanging[0]?.response);
    await chain;
    await idle;
  });
});

describe('a response', () => {
  let server: RawServer;
  afterEach(() => server.stop());

  it('releases its slot, however it ends', async () => {
    const body = JSON.stringify(buildPullSecret('a', 'password'));
    const endings: Record<string, (response: ServerResponse) => void> = {
      whole: (response) => response.writeHead(200, json).end(body),
      'not found': (response) => response.writeHead(404, json).end('{}'),
      failure: (response) => response.writeHead(500).end('x'.repeat(1_000)),
      empty: (response) => response.writeHead(204).end(),
      'cut in the body': (response) => {
        response.writeHead(200, { ...json, 'content-length': String(body.length) });
        response.write(body.slice(0, 10), () => response.destroy());
      },
      'cut before': (response) => response.destroy(),
      'hanging in the body': (response) => {
        response.writeHead(200, json).write(body.slice(0, 10));
      },
      hanging: () => undefined,
    };
    let ending = 'whole';
    const timeouts = { requestTimeoutMs: 150, writeTimeoutMs: 150 };
    server = await startRawServer((_, response) => endings[ending]?.(response), timeouts);
    const api = createSecretApi(server.config);
    const call = fc.record({ ending: fc.constantFrom(...Object.keys(endings)), isWrite: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(call, async ({ ending: next, isWrite }) => {
        ending = next;
        const calling = isWrite ? api.apply(buildPullSecret('a', 'p'), force) : api.read('a', secretName);
        await calling.catch(() => undefined);
        const { inFlight, waiting } = server.config.calls;
        assert.deepEqual({ inFlight, waiting }, { inFlight: 0, waiting: 0 });
      }),
      { numRuns: 60 },
    );
  });
});
