import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiException } from '@kubernetes/client-node';
import { backoffMs } from '../../src/kube/backoff.ts';
import { errorOf, errorOfStatus, KubeError } from '../../src/kube/errors.ts';
import { permittedText } from '../../src/kube/status.ts';

const CANARY = 'c2VjcmV0LWNhbmFyeQ==';
const operation = 'apply Secret team-a/pull-secret';

function statusBody(message: string, causes: object[] = []): string {
  return JSON.stringify({ kind: 'Status', message, details: { causes } });
}

describe('the error of a status', () => {
  const codes = {
    400: 'invalid',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'not-found',
    409: 'conflict',
    410: 'gone',
  };
  const more = {
    413: 'invalid',
    415: 'invalid',
    422: 'invalid',
    429: 'too-many-requests',
    500: 'server-error',
  };
  const last = { 503: 'server-error', 504: 'timeout', 418: 'unknown' };
  for (const [status, code] of Object.entries({ ...codes, ...more, ...last })) {
    it(`${status} is ${code}`, () => {
      const error = errorOfStatus(Number(status), statusBody(CANARY), operation);
      assert.deepEqual([error.code, error.status, error.operation], [code, Number(status), operation]);
      assert.ok(error.message.includes(operation) && !error.message.includes(CANARY));
    });
  }

  it('is told by the cause where the namespace is being deleted, or the uid is another one', () => {
    const terminating = statusBody('x', [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }]);
    assert.equal(errorOfStatus(403, terminating, operation).code, 'namespace-terminating');
    const uid = statusBody('x', [{ reason: 'FieldValueInvalid', field: 'metadata.uid' }]);
    assert.equal(errorOfStatus(422, uid, operation).code, 'conflict');
  });

  for (const body of [
    '<html>502</html>',
    '',
    undefined,
    null,
    7,
    '[]',
    '{"kind":"Status","details":{"causes":[null]}}',
  ]) {
    it(`takes a body that is no Status: ${String(body)}`, () => {
      assert.equal(errorOfStatus(502, body, operation).code, 'server-error');
    });
  }
});

describe('the text of a refusal', () => {
  const quota =
    'exceeded quota: few, requested: count/secrets=1, used: count/secrets=3, limited: count/secrets=3';

  it('is kept for a quota, a missing right and the name of a webhook', () => {
    assert.equal(permittedText(`secrets "pull-secret" is forbidden: ${quota}`), quota);
    const right =
      'User "system:serviceaccount:a:b" cannot patch resource "secrets" in API group "" in the namespace "x"';
    assert.equal(permittedText(`secrets "pull-secret" is forbidden: ${right}`), right);
    const grouped =
      'User "system:serviceaccount:a:b" cannot patch resource "mutatingwebhookconfigurations" in API group "x.y" at the cluster scope';
    assert.equal(permittedText(`mutatingwebhookconfigurations.x.y "zz" is forbidden: ${grouped}`), grouped);
    const fence = `ValidatingAdmissionPolicy 'p.example' with binding 'b' denied request`;
    assert.equal(permittedText(`secrets "s" is forbidden: ${fence}: ${CANARY}`), fence);
    const denied = `admission webhook "policy.example.com" denied the request: data ${CANARY}`;
    assert.equal(permittedText(denied), 'admission webhook "policy.example.com" denied the request');
  });

  for (const message of [
    CANARY,
    `admission webhook "x" said: ${quota}`,
    `secrets "x" is forbidden: ValidatingAdmissionPolicy 'p' denied request: ${CANARY}`,
    `secrets "x" is forbidden: ${CANARY} exceeded quota: few, requested: y`,
    `Secret "x" is invalid: data: Invalid value: "${CANARY}"`,
  ]) {
    it(`is not kept for anything else: ${message.slice(0, 40)}`, () =>
      assert.equal(permittedText(message), undefined));
  }

  it('has an end', () => {
    const long = `secrets "x" is forbidden: exceeded quota: q, requested: ${'y'.repeat(10_000)}`;
    assert.ok((permittedText(long)?.length ?? 0) <= 300);
  });
});

describe('the error of a failed call', () => {
  it('holds nothing of an ApiException but its status', () => {
    const failure = new ApiException(409, CANARY, statusBody(CANARY), { authorization: CANARY });
    const error = errorOf(failure, operation);
    assert.equal(error.code, 'conflict');
    assert.ok(![error.message, error.stack, JSON.stringify(error)].some((text) => text?.includes(CANARY)));
    assert.equal(error.cause, undefined);
  });

  it('is timeout, network or unknown by what was thrown', () => {
    const fetchFailed = (code: string): Error =>
      new TypeError('fetch failed', { cause: Object.assign(new Error(), { code }) });
    assert.equal(errorOf(new DOMException(CANARY, 'TimeoutError'), operation).code, 'timeout');
    assert.equal(errorOf(fetchFailed('UND_ERR_CONNECT_TIMEOUT'), operation).code, 'timeout');
    assert.equal(errorOf(fetchFailed('ECONNREFUSED'), operation).code, 'network');
    const noToken = Object.assign(new Error(), { code: 'ENOENT' });
    assert.equal(errorOf(noToken, operation).code, 'unauthorized', 'the token file is missing');
    assert.match(errorOf(fetchFailed('CERT_HAS_EXPIRED'), operation).message, /network, CERT_HAS_EXPIRED/);
    assert.equal(errorOf(fetchFailed(`no code: ${CANARY}`), operation).code, 'unknown');
    assert.equal(errorOf(CANARY, operation).code, 'unknown');
  });

  it('is given back as it is if it is one already', () => {
    const error = new KubeError({ code: 'gone', operation });
    assert.equal(errorOf(error, 'another'), error);
  });
});

describe('backoff', () => {
  it('doubles from 200 ms to 10 s and is jittered over its upper half', () => {
    assert.deepEqual(
      [1, 2, 3, 6, 7, 1_000_000].map((n) => backoffMs(n, 0)),
      [100, 200, 400, 3_200, 5_000, 5_000],
    );
    assert.equal(backoffMs(1, 0.5), 150);
    assert.ok(backoffMs(100, 0.999_999) <= 10_000);
  });
});
