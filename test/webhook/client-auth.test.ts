// Tests which client certificates and TLS suites the webhook accepts, and what it logs for the others.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { before, describe, it } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';
import { getCertificateNames } from '../../src/webhook/client-auth.ts';
import { updateTlsIdentity } from '../../src/webhook/server.ts';
import { issueTestCa, issueTestClientCertificate } from '../certificates/test-certificates.ts';
import { buildPodReview } from './admission-reviews.ts';
import {
  createRecordingLog,
  getCaPem,
  issueServingKeyPair,
  pod,
  type StartedWebhook,
  startWebhook,
} from './webhook-server.ts';

describe('client certificates', () => {
  let clientCa: PemKeyPair;
  let otherCa: PemKeyPair;
  before(async () => {
    [clientCa, otherCa] = await Promise.all([issueTestCa(Date.now()), issueTestCa(Date.now())]);
  });
  const startWithClientAuth = (allowedNames: readonly string[] = [], options = {}) =>
    startWebhook({ clientCaPem: clientCa.certPem, allowedNames, ...options });

  it('that chain to the CA are accepted, with any name if none is configured', async () => {
    const { outcomes, ...app } = await startWithClientAuth();
    assert.equal((await sendReview(app, issueTestClientCertificate(clientCa, 'kube-apiserver'))).status, 200);
    assert.deepEqual(outcomes, ['injected ecr-image']);
  });

  for (const [allowed, commonName, dnsNames, status] of [
    [['kube-apiserver'], 'kube-apiserver', [], 200],
    [['kube-apiserver'], 'kube-apiserver-2', [], 403],
    [['kube-*'], 'kube-apiserver-2', [], 200],
    [['api.example'], 'x', ['y', 'api.example'], 200],
    [['api.example'], 'x', ['api.example.evil'], 403],
    [['x', 'y'], 'DNS:x', [], 403],
  ] as const) {
    it(`of ${commonName} [${dnsNames}] get ${status} if ${allowed} are allowed`, async () => {
      const app = await startWithClientAuth(allowed);
      const { status: actual, code } = await sendReview(
        app,
        issueTestClientCertificate(clientCa, commonName, dnsNames),
      );
      assert.equal(actual, status);
      assert.equal(code, status === 403 ? 'client-name-not-allowed' : undefined);
    });
  }

  it('are required: no certificate, one of another CA and a serving certificate get 401, and one log line per reason', async () => {
    const { log, lines } = createRecordingLog();
    const { outcomes, ...app } = await startWithClientAuth([], { log });
    const serving = await issueServingKeyPair();
    for (let times = 0; times < 5; times += 1) {
      assert.deepEqual(await sendReview(app, undefined), { status: 401, code: 'no-client-certificate' });
    }
    for (const keyPair of [issueTestClientCertificate(otherCa, 'kube-apiserver'), serving]) {
      assert.deepEqual(await sendReview(app, keyPair), { status: 401, code: 'invalid-client-certificate' });
    }
    assert.deepEqual(
      lines().map(({ msg, code, requests }) => [msg, code, requests]),
      [
        ['refused requests without a valid client certificate', 'no-client-certificate', 1],
        ['refused requests without a valid client certificate', 'invalid-client-certificate', 1],
      ],
    );
    assert.equal(outcomes.filter((outcome) => outcome === 'refused no-client-certificate').length, 5);
  });

  it('are verified by a replaced CA on new connections', async () => {
    const webhook = await startWithClientAuth();
    const client = issueTestClientCertificate(otherCa, 'kube-apiserver');
    assert.equal((await sendReview(webhook, client)).status, 401);
    updateTlsIdentity(webhook.app, { ...(await issueServingKeyPair()), clientCaPem: otherCa.certPem });
    assert.equal((await sendReview(webhook, client)).status, 200);
    assert.equal(
      (await sendReview(webhook, issueTestClientCertificate(clientCa, 'kube-apiserver'))).status,
      401,
    );
  });

  it('are required in a resumed session too', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { app } = await startWithClientAuth();
      const { certPem, keyPem } = issueTestClientCertificate(clientCa, 'kube-apiserver');
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
      const [response] = await once(second, 'data');
      assert.match(String(response), /^HTTP\/1.1 401 /, version);
      second.destroy();
    }
  });
});

describe('the names of a certificate', () => {
  it('are its CN and its DNS names', async () => {
    const ca = await issueTestCa(Date.now());
    const { certPem } = issueTestClientCertificate(ca, 'a, DNS:b', ['c.example', '*.d.example']);
    assert.deepEqual(getCertificateNames(new X509Certificate(certPem)), [
      'a, DNS:b',
      'c.example',
      '*.d.example',
    ]);
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
    it(`refuses ${suite}, also after the certificate was replaced`, async () => {
      const { app } = await startWebhook();
      for (const isReplaced of [false, true]) {
        if (isReplaced) {
          updateTlsIdentity(app, { ...(await issueServingKeyPair()), clientCaPem: undefined });
        }
        const options = optionsFor(app.server.address() as AddressInfo, 'TLSv1.2');
        // level 0, so that the client itself accepts the suite
        const socket = connect({ ...options, ciphers: `${suite}:@SECLEVEL=0` });
        const [error] = await Promise.race([once(socket, 'error'), once(socket, 'secureConnect')]);
        socket.destroy();
        assert.ok(error instanceof Error, 'the connection was accepted');
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
      const { app } = await startWebhook();
      const options = optionsFor(app.server.address() as AddressInfo, version);
      const socket = connect({ ...options, ciphers: suite });
      await once(socket, 'secureConnect');
      assert.equal(socket.getCipher().standardName.includes(suite.split('-').at(-1) ?? ''), true);
      socket.destroy();
    });
  }
});

function optionsFor({ port }: AddressInfo, version: 'TLSv1.2' | 'TLSv1.3'): ConnectionOptions {
  return { host: '127.0.0.1', port, ca: getCaPem(), minVersion: version, maxVersion: version };
}

/** Sends a review on a new connection. */
async function sendReview(
  { app }: Pick<StartedWebhook, 'app'>,
  keyPair: PemKeyPair | undefined,
): Promise<{ status: number; code: string | undefined }> {
  const { port } = app.server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: false });
  const request = httpsRequest({
    host: '127.0.0.1',
    port,
    agent,
    ca: getCaPem(),
    method: 'POST',
    path: '/mutate',
    headers: { 'content-type': 'application/json' },
    ...(keyPair && { cert: keyPair.certPem, key: keyPair.keyPem }),
  });
  request.end(JSON.stringify(buildPodReview(pod)));
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) {
    text += chunk;
  }
  return { status: response.statusCode, code: JSON.parse(text).error?.code };
}
