// Tests that each pod in test/fixtures results in the patch or decision beside it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import jsonPatch from 'fast-json-patch';
import { decide } from '../../src/injection/decision.ts';
import { createPullSecretReference } from '../../src/injection/patch.ts';
import { isInvalidReview, parseReview } from '../../src/webhook/admission-request.ts';
import { resolveRegistry } from '../support/registries.ts';
import { buildPodReview, parsePatchOperations } from './admission-reviews.ts';

const fixtures = new URL('../fixtures/', import.meta.url);
const rules = {
  reference: createPullSecretReference('ecr-pull-secrets'),
  resolveRegistry,
  exclude: { namespaces: ['kube-*'], accounts: ['999999999999'] },
  findDenyingRule: () => undefined,
};

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, fixtures), 'utf8'));
}

function patchFor(pod: unknown) {
  const review = parseReview(buildPodReview(pod));
  assert.ok(!isInvalidReview(review));
  const decision = decide(review, rules);
  return decision.action === 'ensure' ? parsePatchOperations(decision.patch) : [];
}

/** Update cases have the old pod. */
const isUpdate = (name: string) => existsSync(new URL(`${name}/old.json`, fixtures));
const names = readdirSync(fixtures).sort();

describe('the patch of a new pod', () => {
  for (const name of names.filter((name) => !isUpdate(name))) {
    it(`is that of test/fixtures/${name}`, () => {
      const pod = readJson(`${name}/pod.json`);
      const patch = patchFor(pod);
      assert.deepEqual(patch, readJson(`${name}/patch.json`));
      const { newDocument } = jsonPatch.applyPatch(pod, structuredClone(patch), true, false);
      assert.deepEqual(patchFor(newDocument), [], 'a second pass changes nothing');
    });
  }
});

describe('the decision on an updated pod', () => {
  for (const name of names.filter(isUpdate)) {
    it(`is that of test/fixtures/${name}`, () => {
      const { subResource, ...expected } = Object(readJson(`${name}/decision.json`));
      const oldObject = readJson(`${name}/old.json`);
      const review = parseReview(
        buildPodReview(readJson(`${name}/pod.json`), { operation: 'UPDATE', subResource, oldObject }),
      );
      assert.ok(!isInvalidReview(review));
      const decision = decide(review, rules);
      const hosts = !('registries' in decision) ? [] : decision.registries.map(({ host }) => host);
      assert.deepEqual({ action: decision.action, reason: decision.reason, hosts }, expected);
      assert.equal('patch' in decision ? decision.patch : undefined, undefined);
    });
  }
});
