// Tests how errors of AWS and the network are classified, and the advice in their messages.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { causes, codeAliases } from '../../src/ecr/error-catalog.ts';
import { classifyError, isCredentialError, TokenError } from '../../src/ecr/token-error.ts';

/** An error as the SDK creates it from a response. */
function sdkError(name: string, status = 400, message = 'text of AWS'): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status }, $fault: 'client' });
}

/** An error as Node creates it. */
function nodeError(code: string, name = 'Error'): Error {
  return Object.assign(new Error('text of Node'), { code, name });
}

describe('a token error', () => {
  const expected: [Error, string, boolean, string][] = [
    [sdkError('AccessDeniedException'), 'AccessDeniedException', true, 'AccessDeniedException (permanent)'],
    [sdkError('AccessDenied', 403), 'AccessDenied', true, 'AccessDenied (permanent)'],
    [
      sdkError('UnrecognizedClientException'),
      'UnrecognizedClientException',
      true,
      'UnrecognizedClientException (permanent)',
    ],
    [sdkError('InvalidClientTokenId', 403), 'InvalidClientTokenId', true, 'InvalidClientTokenId (permanent)'],
    [
      sdkError('InvalidSignatureException'),
      'InvalidSignatureException',
      true,
      'InvalidSignatureException (permanent)',
    ],
    [
      sdkError('SignatureDoesNotMatch', 403),
      'SignatureDoesNotMatch',
      true,
      'SignatureDoesNotMatch (permanent)',
    ],
    [sdkError('ExpiredToken', 403), 'ExpiredToken', true, 'ExpiredToken (permanent)'],
    [sdkError('ExpiredTokenException'), 'ExpiredTokenException', true, 'ExpiredTokenException (permanent)'],
    [sdkError('InvalidIdentityToken'), 'InvalidIdentityToken', true, 'InvalidIdentityToken (permanent)'],
    [
      sdkError('IDPRejectedClaimException', 403),
      'IDPRejectedClaimException',
      true,
      'IDPRejectedClaimException (permanent)',
    ],
    [
      sdkError('InvalidParameterException'),
      'InvalidParameterException',
      true,
      'InvalidParameterException (permanent)',
    ],
    [
      sdkError('PackedPolicyTooLargeException'),
      'PackedPolicyTooLargeException',
      true,
      'PackedPolicyTooLargeException',
    ],
    [
      sdkError('MalformedPolicyDocumentException'),
      'MalformedPolicyDocumentException',
      true,
      'MalformedPolicyDocumentException',
    ],
    [
      sdkError('RegionDisabledException', 403),
      'RegionDisabledException',
      true,
      'RegionDisabledException (permanent)',
    ],
    [sdkError('CredentialsProviderError'), 'no-credentials', true, 'no AWS credentials (permanent)'],
    [nodeError('ENOENT'), 'no-credentials', true, 'no AWS credentials (permanent)'],
    [sdkError('EndpointError'), 'invalid-endpoint', true, 'no endpoint for this region (permanent)'],
    [
      sdkError('SomethingNewException', 403),
      'SomethingNewException',
      true,
      'SomethingNewException (permanent)',
    ],
    [sdkError('AuthFailure', 401), 'AuthFailure', true, 'AuthFailure (permanent)'],
    [sdkError('KmsException'), 'KmsException', true, 'KmsException (permanent)'],
    [sdkError('SubscriptionRequired', 403), 'SubscriptionRequired', true, 'SubscriptionRequired (permanent)'],
    [sdkError('AccountSuspended', 403), 'AccountSuspended', true, 'AccountSuspended (permanent)'],
    [nodeError('ERR_INVALID_CHAR'), 'invalid-credentials', true, 'invalid AWS credentials (permanent)'],
    [nodeError('ERR_INVALID_URL'), 'invalid-endpoint-url', true, 'endpoint is not a URL (permanent)'],
    [sdkError('UnknownError', 403), 'http-403', true, 'http-403 (permanent)'],
    [nodeError('SELF_SIGNED_CERT_IN_CHAIN'), 'tls', true, 'TLS error (SELF_SIGNED_CERT_IN_CHAIN)'],
    [sdkError('ThrottlingException'), 'throttled', false, 'throttled'],
    [sdkError('LimitExceededException'), 'throttled', false, 'throttled'],
    [sdkError('WhateverException', 429), 'throttled', false, 'throttled'],
    [sdkError('ServerException', 500), 'server-error', false, 'AWS server error'],
    [sdkError('WhateverException', 503), 'server-error', false, 'AWS server error'],
    [sdkError('IDPCommunicationErrorException'), 'identity-provider', false, 'identity provider unreachable'],
    [sdkError('RequestTimeTooSkewed', 403), 'clock-skew', false, 'clock skew'],
    [nodeError('ENOTFOUND'), 'network', false, 'network error (ENOTFOUND)'],
    [nodeError('ECONNREFUSED', 'AggregateError'), 'network', false, 'network error (ECONNREFUSED)'],
    // The SDK renames connection resets to TimeoutError, so the code is more specific.
    [nodeError('ECONNRESET', 'TimeoutError'), 'network', false, 'network error (ECONNRESET)'],
    [nodeError('ETIMEDOUT', 'TimeoutError'), 'timeout', false, 'timed out'],
    [nodeError('', 'TimeoutError'), 'timeout', false, 'timed out'],
    [nodeError('', 'AbortError'), 'timeout', false, 'timed out'],
    [
      nodeError('', 'CredentialsTimeoutError'),
      'credentials-timeout',
      false,
      'timed out getting AWS credentials',
    ],
    [nodeError('ERR_PROXY_TUNNEL'), 'proxy', false, 'proxy error'],
    [sdkError('SyntaxError', 200), 'invalid-response', false, 'invalid response'],
    [new TypeError('a bug'), 'unknown', false, 'unknown error (TypeError)'],
  ];
  for (const [error, code, permanent, shortCause] of expected) {
    const status = '$metadata' in error ? ` with ${JSON.stringify(error.$metadata)}` : '';
    it(`reports ${error.name}${'code' in error ? ` ${error.code}` : ''}${status} as ${shortCause}`, () => {
      const failure = classifyError(error, 'eu-west-1');
      assert.deepEqual(
        [failure.code, failure.permanent, failure.shortCause, failure.region],
        [code, permanent, shortCause, 'eu-west-1'],
      );
      assert.match(failure.message, /^No ECR token for eu-west-1: .+\. .+\.$/);
      assert.equal(failure.cause, undefined);
    });
  }

  it('contains advice for the operator', () => {
    for (const [code, cause] of causes) {
      assert.ok(new TokenError({ code, region: 'x' }).message.includes(cause.advice), code);
    }
    assert.match(classifyError(sdkError('AccessDeniedException'), 'x').message, /ecr:GetAuthorizationToken/);
    assert.match(classifyError(sdkError('AccessDenied'), 'x').message, /sts:AssumeRole/);
    for (const [code, advice] of [
      ['AuthFailure', /Check the access key/],
      ['KMSException', /Enable the AWS KMS key/],
      ['KmsException', /Enable the AWS KMS key/],
      ['SubscriptionRequired', /Complete the sign-up/],
      ['SubscriptionRequiredException', /Complete the sign-up/],
      ['AccountSuspended', /check its billing/],
    ] as const) {
      assert.match(classifyError(sdkError(code, 403), 'x').message, advice);
    }
  });

  it('has a cause for every alias', () => {
    for (const [code, own] of codeAliases) {
      assert.ok(causes.has(own), `${code} is an alias of ${own}, which has no cause`);
      assert.ok(!causes.has(code), `${code} is in both tables`);
    }
  });

  it('names the denied principal, and nothing else of the message of AWS', () => {
    const text =
      'User: arn:aws:sts::123456789012:assumed-role/puller/session is not authorized; x-amz-security-token:IQoJcanary';
    const failure = classifyError(sdkError('AccessDeniedException', 400, text), 'x');
    assert.match(failure.message, /arn:aws:sts::123456789012:assumed-role\/puller\/session\./);
    assert.ok(!failure.message.includes('canary'));
  });

  it('says that the region may be misspelt if its endpoint does not exist', () => {
    const notFound = (hostname: string, code = 'ENOTFOUND') =>
      classifyError(Object.assign(nodeError(code), { hostname }), 'eu-centrall-1');
    const failure = notFound('api.ecr.eu-centrall-1.amazonaws.com');
    assert.deepEqual([failure.code, failure.permanent], ['network', false]);
    assert.equal(failure.shortCause, 'no such region (ENOTFOUND)');
    assert.match(
      failure.message,
      /there is no endpoint for region eu-centrall-1 \(ENOTFOUND\)\. Check the spelling/,
    );
    for (const other of [
      notFound('vpce.example.com'),
      notFound('api.ecr.eu-centrall-1.amazonaws.com', 'EAI_AGAIN'),
    ]) {
      assert.match(other.message, /Check DNS and network connectivity/);
    }
  });

  it('tells a certificate that is not valid now from one that is not trusted', () => {
    for (const code of ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']) {
      assert.match(classifyError(nodeError(code), 'x').message, /check the system clock, then renew/);
    }
    assert.match(classifyError(nodeError('SELF_SIGNED_CERT_IN_CHAIN'), 'x').message, /set AWS_CA_BUNDLE/);
  });

  it('names the variable of the proxy', () => {
    const through = (error: Error, statusCode?: number) =>
      classifyError(Object.assign(error, { proxyVariable: 'https_proxy', statusCode }), 'x');
    for (const error of [
      nodeError('ENOTFOUND'),
      nodeError('', 'TimeoutError'),
      nodeError('ERR_PROXY_TUNNEL'),
    ]) {
      const failure = through(error);
      assert.deepEqual([failure.code, failure.permanent], ['proxy', false]);
      assert.match(failure.message, /proxy error \(\w+\)\. Check the proxy in https_proxy, or add/);
    }
    const proxyAddress = 'http://proxy.example.com:3128';
    const forbidden = through(Object.assign(nodeError('ERR_PROXY_TUNNEL'), { proxyAddress }), 403);
    assert.match(
      forbidden.message,
      /Allow the host in the proxy in https_proxy \(http:\/\/proxy\.example\.com:3128\), which refuses it with HTTP 403/,
    );
    const refused = through(nodeError('ERR_PROXY_TUNNEL'), 407);
    assert.deepEqual([refused.code, refused.permanent], ['proxy-authentication', true]);
    assert.match(refused.message, /user name and password of the proxy in https_proxy/);
    assert.equal(through(nodeError('SELF_SIGNED_CERT_IN_CHAIN')).code, 'tls');
    assert.equal(through(sdkError('AccessDeniedException')).code, 'AccessDeniedException');
  });

  it('is returned unchanged', () => {
    const failure = new TokenError({ code: 'timeout', region: 'x' });
    assert.equal(classifyError(failure, 'y'), failure);
  });

  it('keeps everything else when retryAt is added', () => {
    const failure = classifyError(sdkError('SomethingNewException', 403), 'x');
    const later = failure.withRetryAt(1234);
    assert.deepEqual(
      [later.code, later.permanent, later.shortCause, later.message, later.region, later.retryAt],
      [failure.code, failure.permanent, failure.shortCause, failure.message, failure.region, 1234],
    );
    assert.equal(failure.retryAt, undefined);
  });

  it('causes the credentials to be read again only if they may be the cause', () => {
    const suspects = (error: Error) => isCredentialError(classifyError(error, 'x'));
    assert.ok(suspects(sdkError('UnrecognizedClientException')));
    assert.ok(suspects(sdkError('ExpiredTokenException')));
    assert.ok(suspects(sdkError('AuthFailure')));
    assert.ok(suspects(nodeError('ENOENT')));
    assert.ok(suspects(nodeError('ERR_INVALID_CHAR')));
    assert.ok(!suspects(sdkError('AccessDeniedException')));
    assert.ok(!suspects(nodeError('ECONNREFUSED')));
  });

  it('has a short cause and a safe code, whatever was thrown', () => {
    const odd = fc.oneof(
      fc.anything(),
      fc.record({ name: fc.string(), code: fc.anything(), message: fc.string() }),
      fc
        .record({ name: fc.string({ maxLength: 80 }), status: fc.integer({ min: 100, max: 599 }) })
        .map(({ name, status }) => sdkError(name, status)),
    );
    fc.assert(
      fc.property(odd, (thrown) => {
        const failure = classifyError(thrown, 'x');
        assert.ok(failure.shortCause.length <= 40, failure.shortCause);
        assert.match(failure.code, /^[\w-]{1,64}$/);
      }),
    );
  });
});
