// Tests which KubeError results from each status and each failed call.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createStatusError, KubeError, toKubeError } from '../../src/kube/errors.ts';
import { toCredentialsError } from '../../src/kube/kubeconfig-credentials.ts';
import { apiServerBackoff, backoffMs } from '../../src/util/backoff.ts';

const canaryText = 'c2VjcmV0LWNhbmFyeQ==';
const operation = 'apply Secret team-a/pull-secret';

function statusBody(message: string, causes: object[] = [], reason?: string): string {
  return JSON.stringify({ kind: 'Status', message, details: { causes }, reason });
}

/** The API server's own reasons, for statuses whose code depends on them. */
const reasons: Record<string, string> = {
  401: 'Unauthorized',
  404: 'NotFound',
  409: 'Conflict',
  429: 'TooManyRequests',
};

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
      const error = createStatusError(Number(status), statusBody(canaryText, [], reasons[status]), operation);
      assert.deepEqual([error.code, error.status, error.operation], [code, Number(status), operation]);
      assert.ok(error.message.includes(operation) && !error.message.includes(canaryText));
    });
  }

  it('depends on the cause if the namespace is being deleted or the uid differs', () => {
    const terminating = statusBody('x', [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }]);
    assert.equal(createStatusError(403, terminating, operation).code, 'namespace-terminating');
    const uid = statusBody('x', [{ reason: 'FieldValueInvalid', field: 'metadata.uid' }]);
    assert.equal(createStatusError(422, uid, operation).code, 'conflict');
  });

  it('is forbidden if an admission webhook responds with a status that has another meaning from the API server', () => {
    for (const [status, reason] of Object.entries(reasons)) {
      for (const other of [undefined, '', 'Denied']) {
        const error = createStatusError(Number(status), statusBody('x', [], other), operation);
        assert.equal(error.code, 'forbidden', `${status} ${other}`);
      }
      assert.notEqual(
        createStatusError(Number(status), statusBody('x', [], reason), operation).code,
        'forbidden',
      );
      // As a proxy responds, or API Priority and Fairness.
      assert.notEqual(createStatusError(Number(status), 'Too many requests', operation).code, 'forbidden');
    }
    assert.equal(createStatusError(409, statusBody('x', [], 'AlreadyExists'), operation).code, 'conflict');
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
    it(`accepts a body that is not a Status: ${String(body)}`, () => {
      assert.equal(createStatusError(502, body, operation).code, 'server-error');
    });
  }
});

describe('the error of a failed call', () => {
  it('contains nothing of the response but its status', () => {
    const error = createStatusError(409, statusBody(canaryText, [], 'Conflict'), operation);
    assert.equal(error.code, 'conflict');
    assert.ok(
      ![error.message, error.stack, JSON.stringify(error)].some((text) => text?.includes(canaryText)),
    );
    assert.equal(error.cause, undefined);
  });

  it('is timeout, network or unknown, depending on what was thrown', () => {
    const fetchFailed = (code: string): Error =>
      new TypeError('fetch failed', { cause: Object.assign(new Error(), { code }) });
    assert.equal(toKubeError(new DOMException(canaryText, 'TimeoutError'), operation).code, 'timeout');
    assert.equal(toKubeError(fetchFailed('UND_ERR_CONNECT_TIMEOUT'), operation).code, 'timeout');
    assert.equal(toKubeError(fetchFailed('ECONNREFUSED'), operation).code, 'network');
    assert.match(
      toKubeError(fetchFailed('CERT_HAS_EXPIRED'), operation).message,
      /network, CERT_HAS_EXPIRED/,
    );
    assert.equal(toKubeError(fetchFailed(`no code: ${canaryText}`), operation).code, 'unknown');
    assert.equal(toKubeError(canaryText, operation).code, 'unknown');
  });

  for (const [code, advice] of [
    ['SELF_SIGNED_CERT_IN_CHAIN', /not signed by the CA in use; check certificate-authority/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /not signed by the CA in use/],
    ['CERT_HAS_EXPIRED', /expired or is not valid yet; check the clock/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /for another name than its address/],
    ['ENOTFOUND', /does not exist; check the address and DNS/],
    ['ECONNREFUSED', /nothing listens at the address/],
    ['ECONNRESET', /check the address of the API server and the network to it/],
  ] as const) {
    it(`says what to do about ${code}`, () => {
      const failure = new TypeError('fetch failed', { cause: Object.assign(new Error(), { code }) });
      const error = toKubeError(failure, operation);
      assert.equal(error.code, 'network');
      assert.match(error.message, advice);
      assert.ok(error.message.includes(`(network, ${code})`), error.message);
    });
  }

  it('names the file that cannot be read, and the program that cannot be started', () => {
    const missing = { code: 'ENOENT', path: '/run/secrets/token', syscall: 'open' };
    const describe = (failure: object) =>
      toKubeError(toCredentialsError(Object.assign(new Error(canaryText), failure), undefined), operation);
    assert.equal(describe({ code: 'ENOENT' }).code, 'unauthorized', 'the token file is missing');
    const file = describe(missing);
    assert.match(file.message, /\(unauthorized, ENOENT \/run\/secrets\/token\): the file cannot be read/);
    const program = { code: 'ENOENT', path: 'kubelogin', syscall: 'spawn kubelogin' };
    const plugin = describe(program);
    assert.match(plugin.message, /ENOENT kubelogin\): the program that user\.exec .* cannot be started/);
  });

  it('is returned unchanged if it is a KubeError already', () => {
    const error = new KubeError({ code: 'gone', operation });
    assert.equal(toKubeError(error, 'another'), error);
  });
});

describe('backoff', () => {
  it('doubles from 200 ms to 10 s and is jittered over its upper half', () => {
    assert.deepEqual(
      [1, 2, 3, 6, 7, 1_000_000].map((n) => backoffMs(apiServerBackoff, n, 0)),
      [100, 200, 400, 3_200, 5_000, 5_000],
    );
    assert.equal(backoffMs(apiServerBackoff, 1, 0.5), 150);
    assert.ok(backoffMs(apiServerBackoff, 100, 0.999_999) <= 10_000);
  });
});
