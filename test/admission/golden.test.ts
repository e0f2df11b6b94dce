import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import jsonPatch from 'fast-json-patch';
import { decide } from '../../src/admission/decision.ts';
import { pullSecretReference } from '../../src/admission/patch.ts';
import { isBadReview, readReview } from '../../src/admission/review.ts';
import { operationsOf } from './patches.ts';
import { reviewOf } from './reviews.ts';

const fixtures = new URL('../fixtures/', import.meta.url);
const rules = {
  reference: pullSecretReference('ecr-pull-secrets'),
  exclude: { namespaces: ['kube-*'], accounts: ['999999999999'] },
};

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, fixtures), 'utf8'));
}

function patchFor(pod: unknown) {
  const review = readReview(reviewOf(pod));
  assert.ok(!isBadReview(review));
  const decision = decide(review, rules);
  return decision.action === 'ensure' ? operationsOf(decision.patch) : [];
}

describe('the patch of a created pod', () => {
  for (const name of readdirSync(fixtures).sort()) {
    it(`is as in test/fixtures/${name}`, () => {
      const pod = readJson(`${name}/pod.json`);
      const patch = patchFor(pod);
      assert.deepEqual(patch, readJson(`${name}/patch.json`));
      const { newDocument } = jsonPatch.applyPatch(pod, structuredClone(patch), true, false);
      assert.deepEqual(patchFor(newDocument), [], 'a second pass changes nothing');
    });
  }
});
