// Tests which texts are redacted as credentials, and that terminal output has no control characters.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isPlain, scrub, toPrintable } from '../../src/telemetry/redact.ts';
import { credentials } from './credential-generators.ts';

const token = btoa(`AWS:${'canary0'.repeat(300)}`);

describe('scrubbing', () => {
  it('removes tokens and AWS key IDs anywhere in a text', () => {
    assert.equal(
      scrub(`a ${token} b AKIAEXAMPLEEXAMPLE12, ASIAEXAMPLEEXAMPLE12`),
      'a [redacted] b [redacted], [redacted]',
    );
    const any = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(any, any, credentials, (before, after, { kind, text, secrets }) => {
        const scrubbed = scrub(`${before}${text}${after}`);
        assert.ok(!secrets.some((secret) => scrubbed.includes(secret)), kind);
      }),
      { numRuns: 2_000 },
    );
  });

  it('does not change hosts, ARNs, digests, paths and valid names', () => {
    for (const text of [
      '123456789012.dkr-ecr-fips.us-gov-west-1.on.aws:443/team/app@sha256:'.padEnd(130, '0'),
      'https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/v2/app@sha256:'.padEnd(130, 'a'),
      'arn:aws:sts::123456789012:assumed-role/ecr-pull-role-of-the-production-cluster/ecr-pull-secrets',
      'AWS::ECR::Repository',
      'apply Secret some-quite-long-namespace-name/ecr-pull-secrets: forbidden',
      `apply Secret ${'n'.repeat(63)}/${'a'.repeat(253)}`,
      'Basic authentication failed, a bearer token is required',
      'registries[0].roleArn: must be the ARN of a role',
    ]) {
      assert.equal(scrub(text), text);
    }
  });

  it('keeps the context readable: the host of a URL, other parameters, the name of a header', () => {
    assert.equal(scrub('https://user:word@host:8080/path'), 'https://[redacted]@host:8080/path');
    assert.equal(
      scrub('GET /x?X-Amz-Date=1&X-Amz-Signature=0123abcd4567&X-Amz-Expires=9'),
      'GET /x?X-Amz-Date=1&X-Amz-Signature=[redacted]&X-Amz-Expires=9',
    );
    assert.equal(scrub('Authorization: Basic dTpw'), 'Authorization: [redacted]');
  });

  it('treats no text as plain to which a rule applies', () => {
    const plain = fc.string({
      unit: fc.constantFrom(...'abcikyz0189 ._/,()-ABEIKSWZ'),
      maxLength: 260,
    });
    fc.assert(
      fc.property(plain, (text) => {
        // a line feed is not plain, and belongs to no credential
        if (isPlain(text)) {
          assert.equal(scrub(`${text}\n`), `${text}\n`);
        }
      }),
      { numRuns: 2_000 },
    );
    for (const name of ['a'.repeat(253), 'a0-'.repeat(84), 'a/b_c'.repeat(50)]) {
      assert.ok(isPlain(name));
      assert.equal(scrub(`${name}\n`), `${name}\n`);
    }
  });

  it('takes linear time', () => {
    const pieces = [
      'A',
      'a\n',
      'A'.repeat(16),
      '://',
      'a@',
      'AWS:',
      'eyJ',
      'basic ',
      'authorization',
      ' ',
      '%',
    ];
    const hostile = [
      ...pieces,
      'password ',
      'X-Amz-Signature=',
      '-----BEGIN PRIVATE KEY-----',
      '\\n',
      'AKIA',
    ];
    const seconds = (text: string) => {
      const begun = process.cpuUsage();
      scrub(text);
      return process.cpuUsage(begun).user / 1e6;
    };
    for (const piece of hostile) {
      const text = piece.repeat(Math.ceil(500_000 / piece.length));
      assert.ok(seconds(text) < 2, JSON.stringify(piece));
    }
  });
});

describe('text for a terminal', () => {
  it('can neither move the cursor nor contain a credential, and keeps its line breaks', () => {
    assert.equal(
      toPrintable(`a\tb\n\u001b]0;x\u0007 \r\u009b2J \u202e ${token}\n`),
      'a\tb\n<U+001B>]0;x<U+0007> <U+000D><U+009B>2J <U+202E> [redacted]\n',
    );
  });
});
