// Tests that an error of listening names the setting to change.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, it } from 'node:test';
import { listenOn } from '../../src/webhook/listen.ts';
import { createStatusServer } from '../../src/webhook/status-server.ts';

describe('listening', () => {
  const status = () => createStatusServer({ getNotReadyReasons: () => [] });

  it('names the setting if the port is already in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    await assert.rejects(listenOn(status(), 'status', { address: '127.0.0.1', port }), {
      message: `status.port ${port} is already in use`,
      code: 'EADDRINUSE',
    });
    other.close();
  });

  it('names the setting if the address is not one of the host', async () => {
    await assert.rejects(listenOn(status(), 'webhook', { address: '192.0.2.1', port: 8443 }), {
      message: 'webhook.address 192.0.2.1 is not an address of this host',
      code: 'EADDRNOTAVAIL',
    });
  });

  it('names the setting if the port needs more privileges, and passes other errors on', async () => {
    const failing = (code: string) => ({
      listen: () => Promise.reject(Object.assign(new Error(`listen ${code}`), { code })),
    });
    await assert.rejects(listenOn(failing('EACCES'), 'webhook', { port: 443 }), {
      message: 'webhook.port 443 cannot be bound without more privileges; use a port from 1024',
    });
    await assert.rejects(listenOn(failing('EMFILE'), 'webhook', { port: 443 }), { message: 'listen EMFILE' });
  });

  it('returns the URL', async () => {
    const server = status();
    assert.match(
      await listenOn(server, 'status', { address: '127.0.0.1', port: 0 }),
      /^http:\/\/127\.0\.0\.1:\d+$/,
    );
    await server.close();
  });
});
