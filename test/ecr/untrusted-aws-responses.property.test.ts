// Tests that any response of AWS results in a token or a TokenError.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseAuthorization, Token } from '../../src/ecr/token.ts';
import { classifyError, TokenError } from '../../src/ecr/token-error.ts';
import { damaged, hostileJson } from '../support/untrusted-json.ts';

const now = Date.UTC(2026, 10, 23, 12);
const region = 'us-east-1';

/** An error as the SDK creates it: with all fields of the response copied. */
function thrownWith(fields: unknown): Error {
  const error = new Error('x');
  for (const [key, value] of Object.entries(typeof fields === 'object' && fields !== null ? fields : {})) {
    Object.defineProperty(error, key, { value, configurable: true });
  }
  return error;
}

describe('an untrusted response of AWS', () => {
  it('results in a token or a TokenError', () => {
    const check = (response: unknown, expiresAt: unknown) => {
      try {
        const data = { authorizationToken: btoa('AWS:x'), expiresAt: new Date(Number(expiresAt)) };
        assert.ok(
          parseAuthorization({ authorizationData: [data, response] }, region, now, undefined) instanceof
            Token,
          'a token',
        );
      } catch (error) {
        assert.ok(error instanceof TokenError, `${error}`);
      }
      assert.throws(() => parseAuthorization(response, region, now, undefined), TokenError);
    };
    const valid = { authorizationData: [{ authorizationToken: btoa('AWS:x'), expiresAt: 'no Date' }] };
    fc.assert(fc.property(damaged(valid), fc.double(), check), { numRuns: 500 });
  });

  it('is classified if it is a failure', () => {
    const check = (fields: unknown) => {
      for (const thrown of [fields, thrownWith(fields)]) {
        const error = classifyError(thrown, region);
        assert.ok(error instanceof TokenError && typeof error.code === 'string');
      }
    };
    const failure = {
      name: 'AccessDeniedException',
      code: 'x',
      Code: 'y',
      message: 'User: arn:aws:iam::123456789012:role/a is not authorized',
      $metadata: { httpStatusCode: 400 },
    };
    check({ ...failure, message: { toString: 1, valueOf: 1 } });
    fc.assert(fc.property(fc.oneof(damaged(failure), hostileJson(Object.keys(failure))), check), {
      numRuns: 1_000,
    });
  });
});
