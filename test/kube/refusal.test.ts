// Tests that a refusal names the policy, webhook, quota or permission, and nothing secret.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createStatusError } from '../../src/kube/errors.ts';
import { parseRefusal } from '../../src/kube/refusal.ts';

const canaryText = 'c2VjcmV0LWNhbmFyeQ==';

const refusal = (message: string, causes: { reason: string; field: string }[] = []) =>
  parseRefusal({ message, causes, reason: '' });
const longName = 'a'.repeat(253);

describe('who refused a request', () => {
  const quota =
    'exceeded quota: few, requested: count/secrets=1, used: count/secrets=3, limited: count/secrets=3';
  const group =
    'User "system:serviceaccount:a:b" cannot patch resource "mutatingwebhookconfigurations" in API group "x.y" at the cluster scope';
  // The messages of 1.30.14 and 1.37.2 are tested in refusal.cluster.test.ts; these are harder to produce.
  const known: [message: string, text: string, short: string][] = [
    [
      `mutatingwebhookconfigurations.x.y "zz" is forbidden: ${group}: RBAC: ${canaryText}`,
      group,
      'no permission to patch mutatingwebhookconfigurations',
    ],
    [`secrets "s" is forbidden: ${quota}`, quota, 'exceeded quota "few"'],
    [
      'secrets "s" is forbidden: status unknown for quota: q.1, resources: count/secrets',
      'status unknown for quota: q.1',
      'status unknown for quota: "q.1"',
    ],
    [
      'secrets "s" is forbidden: failed quota: q: must specify limits.cpu',
      'failed quota: q',
      'failed quota: "q"',
    ],
    [
      `secrets "s" is forbidden: User "${canaryText}" cannot patch resource "secrets" in API group "" in the namespace "x"`,
      'the user cannot patch resource "secrets" in API group "" in the namespace "x"',
      'no permission to patch secrets',
    ],
    [
      'admission webhook "w.example" does not support dry run',
      'admission webhook "w.example" does not support dry run',
      'denied by webhook "w.example"',
    ],
    [
      'Internal error occurred: failed calling webhook "w.x": failed to call webhook: Post "https://w.x.svc:443/?timeout=9s": no endpoints available for service "w"',
      'failed calling webhook "w.x" (its Service has no endpoints)',
      'webhook failed: "w.x"',
    ],
    [
      `Internal error occurred: failed calling webhook "w.x": ${canaryText}`,
      'failed calling webhook "w.x"',
      'webhook failed: "w.x"',
    ],
  ];
  for (const [message, text, short] of known) {
    it(`is named: ${text.slice(0, 60)}`, () => {
      const found = refusal(message);
      assert.deepEqual([found?.text, found?.shortText], [text, short]);
    });
  }

  for (const message of [
    '',
    canaryText,
    `admission webhook "x" said: ${quota}`,
    `secrets "x" is forbidden: ValidatingAdmissionPolicy 'p' denied request: ${canaryText}`,
    `secrets "x" is forbidden: ${canaryText} ${quota}`,
    `secrets "x" is forbidden: exceeded quota: ${canaryText}, requested: y`,
    `admission webhook "${canaryText}" denied the request`,
    `x admission webhook "x" denied the request`,
    `Secret "x" is invalid: data: Invalid value: "${canaryText}"`,
  ]) {
    it(`is not guessed: ${message.slice(0, 60)}`, () => assert.equal(refusal(message), undefined));
  }

  it('names only field paths of the written objects, and never other text of a webhook', () => {
    const fields = [
      'data[.dockerconfigjson]',
      'metadata.labels[owner]',
      'metadata.annotations[ecr-pull-secrets.io/hosts]',
      'type',
      canaryText,
      `data[${canaryText}]`,
      `data.${canaryText}`,
      `data ${canaryText}`,
      '',
      'x'.repeat(10_000),
      `metadata${'.a'.repeat(5_000)}`,
    ];
    const named = fields.filter((field) => {
      const found = refusal('Secret "x" is invalid: x', [{ field, reason: canaryText }]);
      assert.ok(found === undefined || found.text === `field ${field}`);
      return found !== undefined;
    });
    assert.deepEqual(named, fields.slice(0, 4));
  });

  it('advises to delete an immutable Secret only if the API server says that it is immutable', () => {
    const causes = [{ field: 'data', reason: 'FieldValueForbidden' }];
    assert.match(
      refusal('Secret "x" is invalid: data: Forbidden', causes)?.advice ?? '',
      /^delete the Secret/,
    );
    for (const message of [
      'admission webhook "w" denied the request: Secret "x" is invalid: data',
      'Event "x" is invalid: data',
    ]) {
      assert.doesNotMatch(refusal(message, causes)?.advice ?? '', /delete the Secret/, message);
    }
  });

  it('is short, however long the names are', () => {
    const policy = `ValidatingAdmissionPolicy '${longName}' with binding '${longName}' denied request`;
    const causes = Array.from({ length: 500 }, (_, index) => ({
      field: `data[${index}]`,
      reason: 'FieldValueTooLong',
    }));
    for (const message of [
      `secrets "${longName}" is forbidden: ${policy}`,
      `admission webhook "${longName}" denied the request`,
    ]) {
      const { text, shortText } = refusal(message, causes) ?? { text: '', shortText: '' };
      assert.ok(text.length > 250 && text.length <= 300 && shortText.length === 60, message);
      assert.match(shortText, /^denied by (policy|webhook) "a+\.\.\.$/);
    }
  });

  it('takes linear time for hostile messages', () => {
    const hostile = [
      `${'a'.repeat(1_000_000)} is forbidden: `,
      'a "'.repeat(300_000),
      `Internal error occurred: failed calling webhook "w": ${': tls: failed to verify certificate: x509: '.repeat(20_000)}"`,
      `secrets is forbidden: exceeded quota: q, requested: ${'a=1,'.repeat(200_000)}`,
      `secrets is forbidden: User "${'u'.repeat(1_000_000)}`,
    ];
    // A quadratic pattern would take minutes for each message.
    const causes = Array.from({ length: 100_000 }, () => ({
      field: `metadata${'.a'.repeat(70)}!`,
      reason: 'x',
    }));
    for (const message of hostile) {
      refusal(message, causes);
    }
  });
});

describe('a token in a response of the API server', () => {
  const token = 'QVdTOmV5SndZWGxzYjJGa0lqb2lRVUpEUkVWRyt3PT0=';
  /** Pieces of 8 characters, because a shorter one may be a word by chance. */
  const pieces = Array.from({ length: token.length - 7 }, (_, at) => token.slice(at, at + 8));
  const known = [
    'admission webhook "w.example" denied the request: ',
    `secrets "s" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: `,
    "policy 'p' with binding 'b' denied request: ",
    'Internal error occurred: failed calling webhook "w.example": failed to call webhook: ',
    'Internal error occurred: error in remove for path: ',
    'secrets "s" is forbidden: exceeded quota: few, requested: count/secrets=1, used: ',
    'secrets "s" is forbidden: User "',
    'secrets "s" is forbidden: User "u" cannot patch resource "secrets" in API group "" in the namespace "x": ',
    `secrets "s" is forbidden: expression '`,
    'Secret "s" is invalid: data[.dockerconfigjson]: Invalid value: ',
    'secrets "',
    '',
  ];
  const around = fc.oneof(
    fc.constantFrom('', '"', "'", ' ', ', ', ': ', '.', '[', ']', '\n'),
    fc.string({ maxLength: 6 }),
  );
  const planted = fc
    .tuple(around, fc.boolean(), around)
    .map(([before, whole, after]) => `${before}${whole ? token : token.slice(0, 20)}${after}`);
  const text = fc.tuple(fc.constantFrom(...known), planted).map((parts) => parts.join(''));
  const field = fc
    .tuple(fc.constantFrom('', 'data', 'data[', 'data.', 'metadata.labels[', 'metadata.', 'type.'), planted)
    .map((parts) => parts.join(''));
  const status = fc.record({
    kind: fc.constant('Status'),
    message: text,
    reason: fc.oneof(fc.constantFrom('', 'Invalid', 'Forbidden', 'Conflict'), planted),
    details: fc.record({
      name: planted,
      kind: planted,
      causes: fc.array(
        fc.record({ reason: planted, field: fc.oneof(field, fc.constant('data')), message: planted }),
        { maxLength: 4 },
      ),
    }),
  });

  it('never reaches the error', () => {
    const code = fc.constantFrom(400, 401, 403, 404, 409, 413, 422, 429, 500, 504, 599);
    fc.assert(
      fc.property(status, code, (body, httpStatus) => {
        const error = createStatusError(httpStatus, body, 'apply Secret a/b');
        const shown = `${error.message} ${error.shortCause} ${JSON.stringify(error)}`;
        assert.deepEqual(
          pieces.filter((piece) => shown.includes(piece)),
          [],
        );
      }),
      { numRuns: 5_000 },
    );
  });
});
