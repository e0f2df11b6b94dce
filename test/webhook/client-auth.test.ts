import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { before, describe, it } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import type { PemPair } from '../../src/certificates/key-pair.ts';
import { namesOf } from '../../src/webhook/client-auth.ts';
import { renewIdentity } from '../../src/webhook/server.ts';
import { testAuthority, testClient } from '../certificates/test-certificates.ts';
import { reviewOf } from './admission-reviews.ts';
import { authorityPem, keptLog, pod, type Started, servingPair, started } from './webhook-server.ts';

describe('client certificates', () => {
  let clients: PemPair;
  let others: PemPair;
  before(async () => {
    [clients, others] = await Promise.all([testAuthority(Date.now()), testAuthority(Date.now())]);
  });
  const requiring = (allowedNames: readonly string[] = [], parts = {}) =>
    started({ clientCaPem: clients.certPem, allowedNames, ...parts });

  it('that chain to the CA are accepted, by any name where none is listed', async () => {
    const { counted, ...app } = await requiring();
    assert.equal((await call(app, testClient(clients, 'kube-apiserver'))).status, 200);
    assert.deepEqual(counted, ['injected ecr-image']);
  });

  for (const [allowed, commonName, dnsNames, status] of [
    [['kube-apiserver'], 'kube-apiserver', [], 200],
    [['kube-apiserver'], 'kube-apiserver-2', [], 403],
    [['kube-*'], 'kube-apiserver-2', [], 200],
    [['api.example'], 'x', ['y', 'api.example'], 200],
    [['api.example'], 'x', ['api.example.evil'], 403],
    [['x', 'y'], 'DNS:x', [], 403],
  ] as const) {
    it(`of ${commonName} [${dnsNames}] get ${status} where ${allowed} are allowed`, async () => {
      const app = await requiring(allowed);
      const { status: got, code } = await call(app, testClient(clients, commonName, dnsNames));
      assert.equal(got, status);
      assert.equal(code, status === 403 ? 'client-name-not-allowed' : undefined);
    });
  }

  it('are required: none, one of another CA or a serving one get 401, and one line in the log', async () => {
    const { log, lines } = keptLog();
    const { counted, ...app } = await requiring([], { log });
    const serving = await servingPair();
    for (let times = 0; times < 5; times += 1) {
      assert.deepEqual(await call(app, undefined), { status: 401, code: 'no-client-certificate' });
    }
    for (const pair of [testClient(others, 'kube-apiserver'), serving]) {
      assert.deepEqual(await call(app, pair), { status: 401, code: 'bad-client-certificate' });
    }
    assert.deepEqual(
      lines().map(({ msg, code, requests }) => [msg, code, requests]),
      [
        ['refused requests without a valid client certificate', 'no-client-certificate', 1],
        ['refused requests without a valid client certificate', 'bad-client-certificate', 1],
      ],
    );
    assert.equal(counted.filter((what) => what === 'refused no-client-certificate').length, 5);
  });

  it('are judged by another CA once it is set, on new connections', async () => {
    const { app } = await requiring().then((running) => ({ app: running }));
    const client = testClient(others, 'kube-apiserver');
    assert.equal((await call(app, client)).status, 401);
    renewIdentity(app.app, { ...(await servingPair()), clientCaPem: others.certPem });
    assert.equal((await call(app, client)).status, 200);
    assert.equal((await call(app, testClient(clients, 'kube-apiserver'))).status, 401);
  });

  it('cannot be left out by resuming a session', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { app } = await requiring();
      const { certPem, keyPem } = testClient(clients, 'kube-apiserver');
      const sessions: Buffer[] = [];
      const options = optionsFor(app.server.address() as AddressInfo, version);
      const first = connect({ ...options, cert: certPem, key: keyPem });
      first.on('session', (session) => sessions.push(session));
      await once(first, 'secureConnect');
      const head =
        'POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n';
      first.write(head);
      await once(first, 'data');
      const session = sessions[0] ?? first.getSession();
      first.destroy();
      const second = connect({ ...options, ...(session && { session }) });
      await once(second, 'secureConnect');
      second.write(head);
      const [answer] = await once(second, 'data');
      assert.match(String(answer), /^HTTP\/1.1 401 /, version);
      second.destroy();
    }
  });
});

describe('names of a certificate', () => {
  it('are its CN and its DNS names', async () => {
    const authority = await testAuthority(Date.now());
    const { certPem } = testClient(authority, 'a, DNS:b', ['c.example', '*.d.example']);
    assert.deepEqual(namesOf(new X509Certificate(certPem)), ['a, DNS:b', 'c.example', '*.d.example']);
  });
});

describe('TLS', () => {
  for (const suite of [
    'AES128-SHA',
    'AES256-GCM-SHA384',
    'AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-SHA256',
    'ECDHE-RSA-AES128-SHA',
  ]) {
    it(`refuses ${suite}, also with a renewed certificate`, async () => {
      const { app } = await started();
      for (const renewed of [false, true]) {
        if (renewed) {
          renewIdentity(app, { ...(await servingPair()), clientCaPem: undefined });
        }
        const options = optionsFor(app.server.address() as AddressInfo, 'TLSv1.2');
        // level 0, so that the client itself would take it
        const socket = connect({ ...options, ciphers: `${suite}:@SECLEVEL=0` });
        const [error] = await Promise.race([once(socket, 'error'), once(socket, 'secureConnect')]);
        socket.destroy();
        assert.ok(error instanceof Error, 'it was served');
        assert.ok('code' in error);
        assert.match(String(error.code), /HANDSHAKE_FAILURE|ECONNRESET/);
      }
    });
  }

  for (const [version, suite] of [
    ['TLSv1.2', 'ECDHE-RSA-AES128-GCM-SHA256'],
    ['TLSv1.2', 'ECDHE-RSA-CHACHA20-POLY1305'],
    ['TLSv1.3', 'TLS_AES_128_GCM_SHA256'],
  ] as const) {
    it(`serves ${suite}`, async () => {
      const { app } = await started();
      const options = optionsFor(app.server.address() as AddressInfo, version);
      const socket = connect({ ...options, ciphers: suite });
      await once(socket, 'secureConnect');
      assert.equal(socket.getCipher().standardName.includes(suite.split('-').at(-1) ?? ''), true);
      socket.destroy();
    });
  }
});

function optionsFor({ port }: AddressInfo, version: 'TLSv1.2' | 'TLSv1.3'): ConnectionOptions {
  return { host: '127.0.0.1', port, ca: authorityPem(), minVersion: version, maxVersion: version };
}

/** One review on a connection of its own. */
async function call(
  { app }: Pick<Started, 'app'>,
  pair: PemPair | undefined,
): Promise<{ status: number; code: string | undefined }> {
  const { port } = app.server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: false });
  const request = httpsRequest({
    host: '127.0.0.1',
    port,
    agent,
    ca: authorityPem(),
    method: 'POST',
    path: '/mutate',
    headers: { 'content-type': 'application/json' },
    ...(pair && { cert: pair.certPem, key: pair.keyPem }),
  });
  request.end(JSON.stringify(reviewOf(pod)));
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) {
    text += chunk;
  }
  return { status: response.statusCode, code: JSON.parse(text).error?.code };
}
