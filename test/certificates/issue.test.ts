// Tests that Node's TLS and OpenSSL accept the issued certificates for their names and lifetime, and no others.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkServerIdentity, connect, createServer, type PeerCertificate } from 'node:tls';
import {
  getServiceDnsNames,
  issueCaCertificate,
  issueServingCertificate,
} from '../../src/certificates/issue.ts';
import { type PemKeyPair, parseKeyPair } from '../../src/certificates/key-pair.ts';
import { dayMs, issueTestCa, issueTestServingCertificate } from './test-certificates.ts';

const now = Date.now();
const issuer = await issueTestCa(now);

describe('issued certificates', () => {
  it('issues a self-signed CA with critical extensions', () => {
    const ca = new X509Certificate(issuer.certPem);
    assert.equal(ca.ca, true);
    assert.equal(ca.subject, 'CN=test CA');
    assert.ok(ca.verify(ca.publicKey));
    assert.equal(parseKeyPair(issuer.certPem, issuer.keyPem).notAfter, seconds(now + 10 * dayMs));
  });

  it('issues a serving certificate that is signed by the CA, backdated, and expires on time', async () => {
    const keyPair = await issueTestServingCertificate(issuer, now);
    const servingCertificate = new X509Certificate(keyPair.certPem);
    const ca = new X509Certificate(issuer.certPem);
    assert.ok(servingCertificate.verify(ca.publicKey));
    assert.ok(servingCertificate.checkIssued(ca));
    assert.equal(servingCertificate.ca, false);
    assert.deepEqual(servingCertificate.keyUsage, ['1.3.6.1.5.5.7.3.1'], 'serverAuth, and only that');
    const read = parseKeyPair(keyPair.certPem, keyPair.keyPem);
    assert.equal(read.notBefore, seconds(now - 5 * 60_000));
    assert.equal(read.notAfter, seconds(now + dayMs));
    assert.deepEqual([read.dnsNames, read.ipAddresses], [['web.apps.svc'], ['127.0.0.1']]);
  });

  it('issues no serving certificate that expires after its CA', async () => {
    const keyPair = await issueTestServingCertificate(issuer, now, { validForMs: 99 * dayMs });
    assert.equal(parseKeyPair(keyPair.certPem, keyPair.keyPem).notAfter, seconds(now + 10 * dayMs));
  });

  it('issues unique, positive serial numbers of 16 octets', async () => {
    const pairs = [
      await issueTestServingCertificate(issuer, now),
      await issueTestServingCertificate(issuer, now),
      issuer,
    ];
    const serials = pairs.map(({ certPem }) => new X509Certificate(certPem).serialNumber);
    assert.equal(new Set(serials).size, 3);
    for (const serial of serials) {
      assert.match(serial, /^[4-7][0-9A-F]{31}$/);
    }
  });

  it('issues certificates that OpenSSL accepts in strict mode', {
    skip: !hasOpenssl() && 'openssl is not installed',
  }, async () => {
    const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.svc`;
    for (const dnsNames of [['web.apps.svc'], [long]]) {
      const servingCertificate = await issueTestServingCertificate(issuer, now, { dnsNames });
      assert.match(opensslVerify(servingCertificate.certPem), /: OK\n$/);
    }
  });
});

describe('TLS that trusts only the CA', () => {
  const names = ['web.apps.svc', '127.0.0.1', '::1', '::ffff:10.0.0.1'];

  it('accepts every name of the certificate, and no other', async () => {
    const ipAddresses = names.slice(1);
    const keyPair = await issueTestServingCertificate(issuer, now, { ipAddresses });
    for (const name of names) {
      assert.equal(await handshake(keyPair, issuer.certPem, name), 'accepted', name);
    }
    assert.equal(await handshake(keyPair, issuer.certPem, 'web.other.svc'), 'ERR_TLS_CERT_ALTNAME_INVALID');
    assert.equal(await handshake(keyPair, issuer.certPem, '127.0.0.2'), 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('rejects a certificate of another CA of the same name', async () => {
    const other = await issueTestCa(now);
    const keyPair = await issueTestServingCertificate(other, now);
    assert.equal(await handshake(keyPair, other.certPem, 'web.apps.svc'), 'accepted');
    assert.notEqual(await handshake(keyPair, issuer.certPem, 'web.apps.svc'), 'accepted');
  });

  it('rejects an expired certificate', async () => {
    const keyPair = await issueTestServingCertificate(issuer, now - 3 * dayMs);
    assert.equal(await handshake(keyPair, issuer.certPem, 'web.apps.svc'), 'CERT_HAS_EXPIRED');
  });
});

describe('no certificate is issued', () => {
  const refused: [string, { dnsNames?: string[]; ipAddresses?: string[] }][] = [
    ['without a name', { dnsNames: [], ipAddresses: [] }],
    ['for an uppercase name', { dnsNames: ['Web.apps.svc'] }],
    ['for an IP address as DNS name', { dnsNames: ['127.0.0.1'] }],
    ['for an empty label', { dnsNames: ['web..svc'] }],
    ['for a name as IP address', { ipAddresses: ['localhost'] }],
    ['for an address with a zone', { ipAddresses: ['fe80::1%eth0'] }],
  ];
  for (const [what, names] of refused) {
    it(what, () => assert.rejects(issueTestServingCertificate(issuer, now, names), { code: 'invalid-name' }));
  }

  it('by a CA with the key of another', async () => {
    const { keyPem } = await issueCaCertificate({ commonName: 'other', now, validForMs: dayMs });
    const mixed = { certPem: issuer.certPem, keyPem };
    await assert.rejects(issueTestServingCertificate(mixed, now), { code: 'key-mismatch' });
  });

  it('by a CA that is not a certificate', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const request = { dnsNames: ['a'], ipAddresses: [], now, validForMs: dayMs };
    await assert.rejects(issueServingCertificate({ ...request, ca: { certPem: 'x', keyPem } }), {
      code: 'invalid-certificate',
    });
  });
});

it('does not block the event loop', async () => {
  const busyMs: number[] = [];
  for (let times = 0; times < 6; times += 1) {
    const before = performance.eventLoopUtilization();
    await issueTestServingCertificate(await issueTestCa(now), now);
    busyMs.push(performance.eventLoopUtilization(before).active);
  }
  // Signing with node-forge takes 40 ms or more. The minimum of several runs is robust on a busy machine.
  assert.ok(Math.min(...busyMs) < 25, `busy for ${busyMs.map(Math.round).join(', ')} ms`);
});

it('returns the names by which a Service is called', () => {
  assert.deepEqual(getServiceDnsNames('web', 'apps'), ['web.apps.svc', 'web.apps.svc.cluster.local']);
});

/** Makes a TLS handshake on loopback with a client that expects `name` and trusts only `ca`. */
async function handshake(keyPair: PemKeyPair, ca: string, name: string): Promise<string> {
  const server = createServer({ cert: keyPair.certPem, key: keyPair.keyPem }, (socket) => socket.end());
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  try {
    return await new Promise<string>((resolve) => {
      // The default check, but for `name` instead of the address that is connected to.
      const checkName = (_host: string, peer: PeerCertificate) => checkServerIdentity(name, peer);
      const where = { port: address.port, host: '127.0.0.1', servername: isIP(name) ? '' : name };
      const socket = connect({ ...where, ca, checkServerIdentity: checkName });
      socket.on('secureConnect', () => resolve('accepted')).on('error', (error) => resolve(codeOf(error)));
      socket.on('close', () => resolve('closed')).resume();
    });
  } finally {
    server.close();
  }
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.message;
}

/** Truncates to whole seconds, as in certificates. */
function seconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version']);
    return true;
  } catch {
    return false;
  }
}

function opensslVerify(certPem: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'verify-'));
  try {
    writeFileSync(join(folder, 'ca.crt'), issuer.certPem);
    writeFileSync(join(folder, 'tls.crt'), certPem);
    const flags = ['-x509_strict', '-purpose', 'sslserver', '-CAfile', join(folder, 'ca.crt')];
    return execFileSync('openssl', ['verify', ...flags, join(folder, 'tls.crt')], { encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
