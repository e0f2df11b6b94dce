// Tests that the patch keeps existing references and is idempotent.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import jsonPatch from 'fast-json-patch';
import { createPullSecretPatch, createPullSecretReference } from '../../src/injection/patch.ts';
import { parsePatchOperations } from '../webhook/admission-reviews.ts';

const name = 'ecr-pull-secrets';
const addedReference = createPullSecretReference(name);
const plain = { noNullPrototype: true };
const reference = fc.record(
  { name: fc.oneof(fc.constant(name), fc.stringMatching(/^[a-z0-9-]{1,12}$/)) },
  plain,
);
const spec = fc.record(
  { imagePullSecrets: fc.array(reference, { maxLength: 6 }) },
  { requiredKeys: [], ...plain },
);
const pod = fc.record({ spec }, plain);

function applyPatch<T>(document: T): T {
  return jsonPatch.applyPatch(
    structuredClone(document),
    parsePatchOperations(createPullSecretPatch(document, addedReference)),
    true,
    false,
  ).newDocument;
}

describe('the patch', () => {
  it('can be applied, and keeps all existing references in order', () => {
    fc.assert(
      fc.property(pod, (before) => {
        const oldReferences = before.spec.imagePullSecrets ?? [];
        const newReferences = applyPatch(before).spec.imagePullSecrets ?? [];
        assert.deepEqual(newReferences.slice(0, oldReferences.length), oldReferences);
        assert.equal(
          newReferences.filter((one) => one.name === name).length,
          Math.max(1, oldReferences.filter((one) => one.name === name).length),
        );
      }),
    );
  });

  it('changes nothing when it is applied twice', () => {
    fc.assert(
      fc.property(pod, (before) => {
        assert.equal(createPullSecretPatch(applyPatch(before), addedReference), undefined);
      }),
    );
  });

  it('is not created for a value without a spec', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const patch = createPullSecretPatch(value, addedReference);
        assert.ok(patch === undefined || (typeof value === 'object' && value !== null && 'spec' in value));
      }),
    );
  });
});
