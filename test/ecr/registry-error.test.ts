// Tests how responses of registries that refuse a manifest are classified.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classifyRefusal } from '../../src/ecr/registry-error.ts';

const role = 'arn:aws:sts::111122223333:assumed-role/puller/session';
const repository = 'arn:aws:ecr:eu-central-1:123456789012:repository/cart';

function respond(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message }] });
}

function denial(reason: string): string {
  const text = `User: ${role} is not authorized to perform: ecr:BatchGetImage on resource: ${repository} ${reason}`;
  return respond('DENIED', text);
}

describe('a response of a registry', () => {
  for (const [name, reason, policy, isExplicit] of [
    [
      'no policy of the caller',
      'because no identity-based policy allows the action',
      'identity-based policy',
      false,
    ],
    [
      'no policy of the repository',
      'because no resource-based policy allows the action',
      'resource-based policy',
      false,
    ],
    ['a session policy', 'because no session policy allows the action', 'session policy', false],
    ['a boundary', 'because no permissions boundary allows the action', 'permissions boundary', false],
    ['a denying SCP', 'with an explicit deny in a service control policy', 'service control policy', true],
    ['no reason', '', undefined, false],
  ] as const) {
    it(`is a denial by ${name}`, () => {
      assert.deepEqual(classifyRefusal(403, denial(reason)), {
        outcome: 'denied',
        principal: role,
        action: 'ecr:BatchGetImage',
        policy,
        isExplicit,
      });
    });
  }

  it('is a denial without facts if it does not name them', () => {
    const nothing = { principal: undefined, action: undefined, policy: undefined, isExplicit: false };
    for (const body of ['', '<html>', '{}', '{"errors":{}}', '{"errors":[{"code":1,"message":[]}]}']) {
      assert.deepEqual(classifyRefusal(403, body), { outcome: 'denied', ...nothing });
    }
  });

  for (const [status, body, outcome] of [
    [
      403,
      respond('DENIED', 'Your authorization token has expired. Reauthenticate and try again.'),
      'expired-token',
    ],
    [400, respond('DENIED', 'Your Authorization Token is invalid.'), 'unauthorized'],
    [401, 'Not Authorized', 'unauthorized'],
    [404, respond('NAME_UNKNOWN', 'The repository does not exist'), 'repository-unknown'],
    [404, respond('MANIFEST_UNKNOWN', 'Requested image not found'), 'manifest-unknown'],
    [404, '<html>', 'unexpected'],
    [429, '', 'throttled'],
    [307, '', 'redirected'],
    [503, '', 'server-error'],
    [405, '', 'unexpected'],
  ] as const) {
    it(`with ${status} and ${body.slice(0, 60)} is ${outcome}`, () => {
      assert.deepEqual(classifyRefusal(status, body), { outcome, status });
    });
  }
});
