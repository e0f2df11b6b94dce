// Tests the fields and the warning of an admission response, and the time limit for it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createPullSecretPatch, createPullSecretReference } from '../../src/injection/patch.ts';
import { getResponseTimeoutMs } from '../../src/webhook/admission-request.ts';
import { formatAdmissionReview } from '../../src/webhook/admission-response.ts';
import { formatMissingReferenceWarning, formatMissingTokenWarning } from '../../src/webhook/warnings.ts';
import { parsePatchOperations } from './admission-reviews.ts';

describe('responses', () => {
  it('have uid, apiVersion and kind, with patch and patchType together or not at all', () => {
    const patch = createPullSecretPatch({ spec: {} }, createPullSecretReference('x'));
    const { response, ...envelope } = JSON.parse(formatAdmissionReview('u-1', { allowed: true, patch }));
    assert.deepEqual(envelope, { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' });
    assert.deepEqual(
      { ...response, patch: parsePatchOperations(response.patch) },
      {
        uid: 'u-1',
        allowed: true,
        patchType: 'JSONPatch',
        patch: [{ op: 'add', path: '/spec/imagePullSecrets', value: [{ name: 'x' }] }],
      },
    );
    assert.deepEqual(JSON.parse(formatAdmissionReview('u-2', { allowed: true, patch: undefined })).response, {
      uid: 'u-2',
      allowed: true,
    });
  });
});

describe('the response timeout', () => {
  const cases: [string | undefined, number][] = [
    ['5s', 4500],
    ['30s', 29_500],
    ['1m0s', 29_500],
    ['500ms', 250],
    ['1s', 500],
    ['0s', 0],
    [undefined, 9500],
    ['', 9500],
    ['soon', 9500],
    ['5', 9500],
    ['-5s', 9500],
    ['9999999999s', 9500],
  ];
  for (const [timeout, expected] of cases) {
    it(`is ${expected} ms for a timeout of ${timeout}`, () => {
      assert.equal(getResponseTimeoutMs(timeout, 500), expected);
    });
  }
});

describe('the warning', () => {
  const host = '123456789012.dkr-ecr-fips.us-gov-west-1.on.aws:443';

  it('has host and cause', () => {
    assert.equal(
      formatMissingTokenWarning([{ host, text: 'access denied' }]),
      `no pull token for ${host}: access denied`,
    );
  });

  it('has the number of further hosts', () => {
    const missing = ['a', 'b', 'c'].map((name) => ({ host: name, text: 'throttled' }));
    assert.equal(formatMissingTokenWarning(missing), 'no pull token for a (+2 more): throttled');
  });

  it('shows where a long cause was truncated', () => {
    const text = `denied by webhook "${'a'.repeat(40)}`;
    assert.match(formatMissingTokenWarning([{ host, text }]), /: denied by webhook "a+\.\.\.$/);
  });

  it('is ASCII of at most 120 characters for any cause', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        assert.match(formatMissingTokenWarning([{ host, text }]), /^[\x20-\x7e]{1,120}$/);
      }),
    );
  });

  it('about an image of an existing pod has at most 120 characters, and says what to do', () => {
    const warnings = ['pods', 'pods/ephemeralcontainers'].map(formatMissingReferenceWarning);
    for (const warning of warnings) {
      assert.match(warning, /^the new ECR image may fail to pull: [\x20-\x7e]{1,90}$/);
      assert.ok(warning.length <= 120);
    }
    assert.match(warnings[0] ?? '', /recreate the pod$/);
    assert.match(warnings[1] ?? '', /kubectl debug --copy-to$/);
  });
});
