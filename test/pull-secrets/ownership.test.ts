// Tests which Secrets are managed: label, field owners and type.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FieldOwner } from '../../src/kube/field-managers.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import {
  createManifest,
  dockerConfigKey,
  isIntact,
  matchesManifest,
  ownsSecret,
  secretType,
} from '../../src/pull-secrets/ownership.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { resolveRegistry } from '../support/registries.ts';
import { hourMs } from './pull-secret-fixtures.ts';

const managedLabels = { [managedByLabel]: productName };
const helm = { [managedByLabel]: 'Helm' };
const content = (manager: string): FieldOwner => ({ manager, data: [dockerConfigKey], annotations: [] });
const annotation = (manager: string): FieldOwner => ({ manager, data: [], annotations: [hostsAnnotation] });
const both = (manager: string) => [content(manager), annotation(manager)];

describe('a Secret with the program’s name', () => {
  it('is managed by its label, whichever managers own its fields', () => {
    for (const fieldOwners of [[], both('kubectl'), both(productName)]) {
      assert.equal(ownsSecret({ labels: managedLabels, fieldOwners }), true);
    }
  });

  it('is managed without the label if the program’s field managers own content and annotation', () => {
    for (const labels of [helm, {}, undefined]) {
      assert.equal(ownsSecret({ labels, fieldOwners: both(productName) }), true);
      assert.equal(ownsSecret({ labels, fieldOwners: both(`${productName}-1a2b3c4d`) }), true);
      const shared = [content(`${productName}-1a2b3c4d`), annotation(productName), ...both('kubectl')];
      assert.equal(ownsSecret({ labels, fieldOwners: shared }), true);
    }
  });

  it('is unmanaged without the label if another manager owns one of both, or no owners are known', () => {
    for (const fieldOwners of [
      [content(productName), annotation('kubectl')],
      [content('kubectl'), annotation(productName)],
      [content(productName)],
      both('ecr-pull-secretsx'),
      both('kubectl'),
      [],
      undefined,
    ]) {
      assert.equal(ownsSecret({ labels: helm, fieldOwners }), false, JSON.stringify(fieldOwners));
    }
  });

  it('is unmanaged with another type, whatever else it has', () => {
    assert.equal(
      ownsSecret({ labels: managedLabels, fieldOwners: both(productName), type: 'Opaque' }),
      false,
    );
    assert.equal(ownsSecret({ labels: helm, fieldOwners: both(productName), type: 'Opaque' }), false);
    assert.equal(ownsSecret({ labels: helm, fieldOwners: both(productName), type: secretType }), true);
  });

  it('has to be repaired and matches no manifest while its label is not the program’s', () => {
    assert.equal(isIntact({ labels: managedLabels, fieldOwners: both(productName) }), true);
    assert.equal(isIntact({ labels: managedLabels, fieldOwners: both('kubectl') }), false);
    assert.equal(isIntact({ labels: helm, fieldOwners: both(productName) }), false);
    assert.equal(isIntact({ fieldOwners: [] }), false);
    const { labels, annotations, data } = createManifest({
      hosts: new Map(),
      requestedAt: new Map(),
      auths: new Map(),
    });
    const secret = { metadata: { namespace: 'a', name: 'b', annotations, labels }, data };
    const manifest = { type: secretType, labels, annotations, data };
    assert.equal(matchesManifest(secret, manifest), true);
    assert.equal(
      matchesManifest({ ...secret, metadata: { ...secret.metadata, labels: helm } }, manifest),
      false,
    );
  });
});

describe('a Secret without its label', () => {
  const now = Date.UTC(2026, 10, 23, 12);
  const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
  const lifetime = { issuedAt: now - hourMs, expiresAt: now + 11 * hourMs };

  it('is due for repair, and its tokens stay in the metric that alerts use', () => {
    const secretCache = new SecretCache(resolveRegistry);
    const annotations = { [hostsAnnotation]: formatHosts(new Map([[host, lifetime]])) };
    const secret = { namespace: 'a', uid: 'u', annotations, fieldOwners: both(productName) };
    secretCache.set({ ...secret, resourceVersion: '5', labels: managedLabels });
    secretCache.set({ ...secret, resourceVersion: '6', labels: helm });
    assert.deepEqual([secretCache.get('a')?.isManaged, secretCache.get('a')?.isIntact], [true, false]);
    assert.deepEqual(
      secretCache.tokenExpiries(now, (region) => region),
      new Map([['us-east-1', lifetime.expiresAt]]),
    );
  });
});
