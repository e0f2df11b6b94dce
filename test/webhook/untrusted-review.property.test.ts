import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isBadReview, readReview } from '../../src/webhook/admission-request.ts';
import { decide } from '../../src/webhook/decision.ts';
import { pullSecretReference } from '../../src/webhook/patch.ts';
import { describeReview, subjectOf } from '../../src/webhook/review-log.ts';
import { podWith } from '../support/pods.ts';
import { damaged } from '../support/untrusted-json.ts';
import { reviewOf } from './admission-reviews.ts';

const rules = {
  reference: pullSecretReference('ecr-pull-secrets'),
  exclude: { namespaces: ['kube-*'], accounts: ['9*'] },
};

function answer(body: unknown): void {
  const review = readReview(body);
  if (isBadReview(review)) {
    assert.ok(review.place !== '' && review.expected !== '');
    return;
  }
  assert.equal(typeof review.resource, 'string');
  const { reason } = decide(review, rules);
  JSON.stringify(describeReview(subjectOf(review), 'left', reason, []));
}

describe('a review, whatever is in it', () => {
  it('is read and decided on without a throw', () => {
    const pod = podWith(['123456789012.dkr.ecr.us-east-1.amazonaws.com/app'], {
      imagePullSecrets: [{ name: 'a' }],
    });
    const broken = { toString: 1, valueOf: 1 };
    for (const key of ['group', 'version', 'resource']) {
      const gvr = { group: 'apps', version: 'v1', resource: 'pods', [key]: broken };
      answer(reviewOf(pod, { resource: gvr }));
      assert.ok(isBadReview(readReview(reviewOf(pod, { resource: gvr }))), `${key} is no text`);
    }
    fc.assert(fc.property(damaged(reviewOf(pod)), answer), { numRuns: 1_000 });
  });
});
