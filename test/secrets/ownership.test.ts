import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FieldOwner } from '../../src/kube/field-owners.ts';
import { formatHosts, hostsAnnotation } from '../../src/secrets/annotation.ts';
import {
  dockerConfigKey,
  holds,
  isIntact,
  managedBy,
  managedByLabel,
  ownsSecret,
  secretType,
  written,
} from '../../src/secrets/ours.ts';
import { SecretView } from '../../src/secrets/view.ts';
import { hour } from './tokens.ts';

const ours = { [managedByLabel]: managedBy };
const helm = { [managedByLabel]: 'Helm' };
const content = (manager: string): FieldOwner => ({ manager, data: [dockerConfigKey], annotations: [] });
const annotation = (manager: string): FieldOwner => ({ manager, data: [], annotations: [hostsAnnotation] });
const both = (manager: string) => [content(manager), annotation(manager)];

describe('a Secret of the program’s name', () => {
  it('is managed by its label, whichever managers own its fields', () => {
    for (const owners of [[], both('kubectl'), both(managedBy)]) {
      assert.equal(ownsSecret({ labels: ours, owners }), true);
    }
  });

  it('is managed without the label where field managers of the program own content and annotation', () => {
    for (const labels of [helm, {}, undefined]) {
      assert.equal(ownsSecret({ labels, owners: both(managedBy) }), true);
      assert.equal(ownsSecret({ labels, owners: both(`${managedBy}-1a2b3c4d`) }), true);
      const shared = [content(`${managedBy}-1a2b3c4d`), annotation(managedBy), ...both('kubectl')];
      assert.equal(ownsSecret({ labels, owners: shared }), true);
    }
  });

  it('is unmanaged without the label where one of both is owned by others, or no owners are known', () => {
    for (const owners of [
      [content(managedBy), annotation('kubectl')],
      [content('kubectl'), annotation(managedBy)],
      [content(managedBy)],
      both('ecr-pull-secretsx'),
      both('kubectl'),
      [],
      undefined,
    ]) {
      assert.equal(ownsSecret({ labels: helm, owners }), false, JSON.stringify(owners));
    }
  });

  it('is unmanaged with another type, whatever else it has', () => {
    assert.equal(ownsSecret({ labels: ours, owners: both(managedBy), type: 'Opaque' }), false);
    assert.equal(ownsSecret({ labels: helm, owners: both(managedBy), type: 'Opaque' }), false);
    assert.equal(ownsSecret({ labels: helm, owners: both(managedBy), type: secretType }), true);
  });

  it('is to be repaired, and holds nothing, while its label is not the program’s', () => {
    assert.equal(isIntact({ labels: ours, owners: both(managedBy) }), true);
    assert.equal(isIntact({ labels: ours, owners: both('kubectl') }), false);
    assert.equal(isIntact({ labels: helm, owners: both(managedBy) }), false);
    assert.equal(isIntact({ owners: [] }), false);
    const { labels, annotations, data } = written({
      hosts: new Map(),
      requestedAt: new Map(),
      auths: new Map(),
    });
    const secret = { metadata: { namespace: 'a', name: 'b', annotations, labels }, data };
    const wanted = { type: secretType, labels, annotations, data };
    assert.equal(holds(secret, wanted), true);
    assert.equal(holds({ ...secret, metadata: { ...secret.metadata, labels: helm } }, wanted), false);
  });
});

describe('a Secret that lost its label', () => {
  const now = Date.UTC(2026, 10, 23, 12);
  const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
  const life = { issuedAt: now - hour, expiresAt: now + 11 * hour };

  it('is due for repair, and its tokens stay in the metric that alerts use', () => {
    const view = new SecretView();
    const annotations = { [hostsAnnotation]: formatHosts(new Map([[host, life]])) };
    const secret = { namespace: 'a', uid: 'u', annotations, owners: both(managedBy) };
    view.set({ ...secret, resourceVersion: '5', labels: ours });
    view.set({ ...secret, resourceVersion: '6', labels: helm });
    assert.deepEqual([view.get('a')?.ours, view.get('a')?.intact], [true, false]);
    assert.deepEqual(
      view.tokenExpiries(now, (region) => region),
      new Map([['us-east-1', life.expiresAt]]),
    );
  });
});
