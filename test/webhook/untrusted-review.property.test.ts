// Tests that any review is parsed and decided on without a throw.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decide } from '../../src/injection/decision.ts';
import { createPullSecretReference } from '../../src/injection/patch.ts';
import { isInvalidReview, parseReview } from '../../src/webhook/admission-request.ts';
import { describeReview, getSubject } from '../../src/webhook/review-log.ts';
import { podWith } from '../support/pods.ts';
import { resolveRegistry } from '../support/registries.ts';
import { damaged } from '../support/untrusted-json.ts';
import { buildPodReview } from './admission-reviews.ts';

const rules = {
  reference: createPullSecretReference('ecr-pull-secrets'),
  resolveRegistry,
  exclude: { namespaces: ['kube-*'], accounts: ['9*'] },
  findDenyingRule: () => undefined,
};

function handle(body: unknown): void {
  const review = parseReview(body);
  if (isInvalidReview(review)) {
    assert.ok(review.path !== '' && review.expected !== '');
    return;
  }
  assert.equal(typeof review.resource, 'string');
  const { reason } = decide(review, rules);
  JSON.stringify(describeReview(getSubject(review), 'skipped', reason, []));
}

describe('a review with any content', () => {
  it('is parsed and decided on without a throw', () => {
    const pod = podWith(['123456789012.dkr.ecr.us-east-1.amazonaws.com/app'], {
      imagePullSecrets: [{ name: 'a' }],
    });
    const broken = { toString: 1, valueOf: 1 };
    for (const key of ['group', 'version', 'resource']) {
      const gvr = { group: 'apps', version: 'v1', resource: 'pods', [key]: broken };
      handle(buildPodReview(pod, { resource: gvr }));
      assert.ok(
        isInvalidReview(parseReview(buildPodReview(pod, { resource: gvr }))),
        `${key} is not a string`,
      );
    }
    fc.assert(fc.property(damaged(buildPodReview(pod)), handle), { numRuns: 1_000 });
  });
});
