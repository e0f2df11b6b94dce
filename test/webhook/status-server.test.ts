import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Agent, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { maxStatusConnections } from '../../src/webhook/limits.ts';
import { createStatusServer } from '../../src/webhook/status-server.ts';

async function started(metrics = async () => ({ contentType: 'text/plain', text: 'x 1\n' })) {
  const app = createStatusServer({ getNotReadyReasons: () => [], metrics });
  await app.listen({ host: '127.0.0.1', port: 0 });
  after(() => app.close());
  const { port } = app.server.address() as AddressInfo;
  const get = async (path: string, options: { agent?: Agent; method?: string; body?: string } = {}) => {
    const { body, ...others } = options;
    const sent = request({ host: '127.0.0.1', port, path, ...others }).end(body);
    const [response] = await once(sent, 'response');
    let text = '';
    for await (const chunk of response) {
      text += chunk;
    }
    return { status: response.statusCode, text };
  };
  return { app, port, get };
}

describe('the status port', () => {
  it('makes one exposition for all scrapes that come together', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let made = 0;
    const { get } = await started(async () => {
      made += 1;
      await promise;
      return { contentType: 'text/plain', text: 'x 1\n' };
    });
    const scrapes = Array.from({ length: 50 }, () => get('/metrics'));
    await get('/healthz'); // the scrapes have come before
    resolve();
    const answers = await Promise.all(scrapes);
    assert.ok(answers.every(({ status, text }) => status === 200 && text === 'x 1\n'));
    assert.ok(made <= 2, `${made} expositions`);
    assert.equal((await get('/metrics')).status, 200);
  });

  it('serves a probe while others hold as many connections as they can', async () => {
    const { port, get, app } = await started(async () => ({
      contentType: 'text/plain',
      text: 'x'.repeat(5_000_000), // more than the system takes from us for a client that does not read
    }));
    const held: Socket[] = [];
    for (let count = 0; count < 3 * maxStatusConnections; count += 1) {
      const socket = connect(port, '127.0.0.1').pause();
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(count % 2 === 0 ? 'GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n' : 'GET /he');
      held.push(socket);
    }
    assert.deepEqual(await get('/healthz'), { status: 200, text: 'ok\n' });
    const open = await new Promise<number>((resolve) =>
      app.server.getConnections((_error, count) => resolve(count)),
    );
    assert.ok(open <= maxStatusConnections, `${open} connections`);
    for (const socket of held) {
      socket.destroy();
    }
  });

  it('reads no bodies', async () => {
    const { get } = await started();
    const { status } = await get('/metrics', { method: 'POST', body: 'x'.repeat(100) });
    assert.ok(status === 415 || status === 404, `${status}`);
  });

  it('has times for a request, and for an answer to be read', async () => {
    const { app } = await started();
    assert.ok(app.server.headersTimeout <= 10_000);
    assert.ok(app.server.requestTimeout <= 10_000);
    assert.ok(app.server.timeout > 0);
    app.server.headersTimeout = 100;
    app.server.requestTimeout = 100;
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket.resume(), 'close');
  });
});
