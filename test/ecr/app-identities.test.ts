// Tests what the program knows about rules before its watches have reported anything.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createIdentities } from '../../src/app-identities.ts';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { resolveRegistry } from '../support/registries.ts';

it('a rule is known before the labels of the namespace are, unless it selects by them', () => {
  const registry = resolveRegistry('123456789012.dkr.ecr.eu-central-1.amazonaws.com');
  assert.ok(registry);
  const rules = [
    { namespaces: { names: ['shop'] }, access: 'allow' },
    { namespaces: { selector: 'tier=lab' }, access: 'deny' },
  ] as const;
  const identities = createIdentities(rules, {} as ClusterConfig, Date.now);
  assert.equal(identities.isUndecided('shop', registry), false);
  assert.equal(identities.isUndecided('sandbox', registry), true);
  assert.equal(identities.findDenyingRule('sandbox', registry), undefined);
});
