// Tests that huge responses of the API server are not read into memory, and that lists continue in shorter pages.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { createGzip } from 'node:zlib';
import { maxObjectBytes } from '../../src/kube/bounded-http.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { listAll } from '../../src/kube/list.ts';
import { getObjectIdentity } from '../../src/kube/object-error.ts';
import { acceptMetadata } from '../../src/kube/resource.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { streamEvents } from '../../src/kube/watch-stream.ts';
import { eventually } from '../support/eventually.ts';
import { type RawServer, startRawServer, writeBlocks } from './raw-server.ts';

const hundredsOfMiB = 300 * 1024 * 1024;
const block = 'x'.repeat(256 * 1024);
const stop = new AbortController().signal;
const secrets = {
  noun: 'Secrets',
  path: '/api/v1/secrets',
  query: {},
  accept: acceptMetadata,
  parseItem: getObjectIdentity,
};

describe('a response of the API server', () => {
  let server: RawServer;
  afterEach(() => server.stop());

  /** @returns how many bytes of the response the client has read before it closed the connection */
  const answering = async (status: number): Promise<() => Promise<number>> => {
    const written = Promise.withResolvers<number>();
    server = await startRawServer((_, response) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      void writeBlocks(response, block, hundredsOfMiB).then((bytes) => {
        response.end();
        written.resolve(bytes);
      });
    });
    return () => written.promise;
  };
  const isTooLarge = (error: unknown): boolean => {
    assert.ok(error instanceof KubeError, `${error}`);
    assert.equal(error.code, 'too-large');
    assert.match(error.message, /^cannot .+ \(too-large, more than \d+ bytes\): the response is too large/);
    return true;
  };

  for (const status of [200, 500]) {
    it(`is not read completely if it has hundreds of MiB, with status ${status}`, async () => {
      const written = await answering(status);
      await assert.rejects(createSecretApi(server.config).read('a', 'b'), isTooLarge);
      assert.ok((await written()) < 2 * maxObjectBytes, 'the connection was closed at the limit');
    });
  }

  it('is not read completely if it is the error of a list', async () => {
    const written = await answering(500);
    await assert.rejects(listAll(server.config, secrets, stop), isTooLarge);
    assert.ok((await written()) < 2 * maxObjectBytes);
  });

  it('is measured after decompression', async () => {
    server = await startRawServer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
      const gzip = createGzip();
      gzip.pipe(response);
      void writeBlocks(gzip, block, hundredsOfMiB).then(() => gzip.end());
    });
    await assert.rejects(createSecretApi(server.config).read('a', 'b'), isTooLarge);
  });

  it('fails if even a list of one object is too large, after shorter and shorter pages', async () => {
    const limits: (string | null)[] = [];
    server = await startRawServer((_, response, url) => {
      limits.push(url.searchParams.get('limit'));
      void writeBlocks(response, block, hundredsOfMiB).then(() => response.end());
    });
    await assert.rejects(listAll(server.config, secrets, stop), isTooLarge);
    assert.deepEqual(limits, ['500', '100', '20', '4', '1']);
  });

  it('is requested in shorter pages while objects are large, and in longer ones after them', async () => {
    const limits: number[] = [];
    const large = new Set([2, 3]);
    const count = 1_000;
    server = await startRawServer((_, response, url) => {
      const limit = Number(url.searchParams.get('limit'));
      limits.push(limit);
      const from = Number(url.searchParams.get('continue') ?? 0);
      const objects = Array.from({ length: Math.min(limit, count - from) }, (__, index) => ({
        metadata: {
          namespace: `n${from + index}`,
          annotations: { x: large.has(from + index) ? 'x'.repeat(9 * 1024 * 1024) : '' },
        },
      }));
      const next = from + limit < count ? String(from + limit) : undefined;
      response.end(JSON.stringify({ metadata: { resourceVersion: '1', continue: next }, items: objects }));
    });
    const { items } = await listAll(server.config, secrets, stop);
    assert.deepEqual(
      items.map(({ namespace }) => namespace),
      Array.from({ length: count }, (_, index) => `n${index}`),
    );
    assert.equal(Math.min(...limits), 1);
    assert.ok(limits.length < 30, `${limits}`);
    assert.ok(
      limits.slice(-2).every((limit) => limit === 500),
      `${limits}`,
    );
  });

  it('has no limit if it is a watch', async () => {
    const line = (version: number) =>
      `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(version) } }, padding: block })}\n`;
    const lineCount = 2 * Math.ceil(maxObjectBytes / block.length);
    server = await startRawServer((_, response) => {
      void (async () => {
        for (let version = 1; version <= lineCount; version += 1) {
          await writeBlocks(response, line(version), 1);
        }
        response.end();
      })();
    });
    let events = 0;
    const watching = { config: server.config, resource: secrets, resourceVersion: '1', seconds: 20 };
    for await (const { type } of streamEvents({
      ...watching,
      slackMs: 0,
      signal: stop,
      onOpen: () => undefined,
    })) {
      assert.equal(type, 'BOOKMARK');
      events += 1;
    }
    await eventually('all lines', () => events === lineCount);
  });
});
