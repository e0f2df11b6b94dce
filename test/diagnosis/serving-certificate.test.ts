// Tests how the serving certificate is compared with the caBundle, its names and the time.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { issueCaCertificate, issueServingCertificate } from '../../src/certificates/issue.ts';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';
import { judgeServingCertificate, type ServedCertificate } from '../../src/diagnosis/serving-certificate.ts';
import { brief } from './diagnosis-fixtures.ts';

const serverName = 'ecr-pull-secrets.pulls.svc';
const dayMs = 86_400_000;

describe('the serving certificate', () => {
  // Certificates contain whole seconds.
  const now = Math.floor(Date.now() / 1000) * 1000;
  let ca: PemKeyPair;
  let otherCa: PemKeyPair;
  let leaf: PemKeyPair;
  before(async () => {
    const request = { now, validForMs: 365 * dayMs };
    ca = await issueCaCertificate({ ...request, commonName: 'one' });
    otherCa = await issueCaCertificate({ ...request, commonName: 'two' });
    leaf = await issueServingCertificate({
      ...{ ca, now, validForMs: 30 * dayMs },
      dnsNames: [serverName],
      ipAddresses: ['127.0.0.1'],
    });
  });

  const judge = (served: Partial<ServedCertificate> = {}) =>
    judgeServingCertificate({
      chain: [leaf.certPem],
      source: 'the certificate',
      ...{ serverName, caBundle: ca.certPem, now },
      ...served,
    }).map((result) => `${result.check} ${brief(result)}`);

  it('is ok if the caBundle trusts it', () => {
    const ok = [
      'webhook-ca-bundle ok: the caBundle trusts the certificate',
      `webhook-certificate ok: the certificate is valid for ${serverName} and expires in 30 days`,
    ];
    assert.deepEqual(judge(), ok);
    assert.deepEqual(judge({ caBundle: `${otherCa.certPem}\n${ca.certPem}` }), ok);
    assert.match(judge({ serverName: '127.0.0.1' })[1] ?? '', / ok: /);
  });

  it('fails if the caBundle is of another CA, empty or not a certificate', () => {
    assert.equal(
      judge({ caBundle: otherCa.certPem })[0],
      'webhook-ca-bundle failed: the caBundle of the webhook configuration does not trust the certificate (issuer CN=one)',
    );
    assert.match(judge({ caBundle: '' })[0] ?? '', /failed: the caBundle .+ is empty/);
    assert.match(judge({ caBundle: 'x' })[0] ?? '', /failed: .+ contains no certificate/);
    assert.match(judge({ caBundle: undefined })[0] ?? '', /skipped/);
  });

  it('fails if it has expired, is not valid yet or has other names, and warns before it expires', () => {
    assert.match(judge({ now: now + 31 * dayMs })[1] ?? '', /failed: the certificate expired on \d{4}-/);
    assert.match(judge({ now: now - dayMs })[1] ?? '', /failed: the certificate is not valid before/);
    assert.match(judge({ now: now + 29 * dayMs })[1] ?? '', /warning: .+ expires in 24 hours/);
    assert.match(
      judge({ serverName: 'other.pulls.svc' })[1] ?? '',
      /failed: the certificate is not valid for other\.pulls\.svc, but for DNS:ecr-pull-secrets\.pulls\.svc/,
    );
  });

  it('fails if it is no certificate', () => {
    assert.deepEqual(judge({ chain: ['x'] }), [
      'webhook-certificate failed: the certificate is not a certificate',
    ]);
  });
});
