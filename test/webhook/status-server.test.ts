// Tests that metrics and probes are served while clients misuse the status port.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Agent, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { maxStatusConnections } from '../../src/webhook/limits.ts';
import { createStatusServer } from '../../src/webhook/status-server.ts';

async function startStatusServer(metrics = async () => ({ contentType: 'text/plain', text: 'x 1\n' })) {
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
  it('renders the metrics once for simultaneous scrapes', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let renderings = 0;
    const { get } = await startStatusServer(async () => {
      renderings += 1;
      await promise;
      return { contentType: 'text/plain', text: 'x 1\n' };
    });
    const scrapes = Array.from({ length: 50 }, () => get('/metrics'));
    await get('/healthz'); // the scrapes have arrived before this request
    resolve();
    const responses = await Promise.all(scrapes);
    assert.ok(responses.every(({ status, text }) => status === 200 && text === 'x 1\n'));
    assert.ok(renderings <= 2, `${renderings} expositions`);
    assert.equal((await get('/metrics')).status, 200);
  });

  it('serves a probe while other clients hold as many connections as they can', async () => {
    const { port, get, app } = await startStatusServer(async () => ({
      contentType: 'text/plain',
      text: 'x'.repeat(5_000_000), // more than the socket buffers hold for a client that does not read
    }));
    const sockets: Socket[] = [];
    for (let count = 0; count < 3 * maxStatusConnections; count += 1) {
      const socket = connect(port, '127.0.0.1').pause();
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(count % 2 === 0 ? 'GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n' : 'GET /he');
      sockets.push(socket);
    }
    assert.deepEqual(await get('/healthz'), { status: 200, text: 'ok\n' });
    const open = await new Promise<number>((resolve) =>
      app.server.getConnections((_error, count) => resolve(count)),
    );
    assert.ok(open <= maxStatusConnections, `${open} connections`);
    for (const socket of sockets) {
      socket.destroy();
    }
  });

  it('reads no request bodies', async () => {
    const { get } = await startStatusServer();
    const { status } = await get('/metrics', { method: 'POST', body: 'x'.repeat(100) });
    assert.ok(status === 415 || status === 404, `${status}`);
  });

  it('has timeouts for a request, and for a response to be read', async () => {
    const { app } = await startStatusServer();
    assert.ok(app.server.headersTimeout <= 10_000);
    assert.ok(app.server.requestTimeout <= 10_000);
    assert.ok(app.server.timeout > 0);
    app.server.headersTimeout = 100;
    app.server.requestTimeout = 100;
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket.resume(), 'close');
  });
});
