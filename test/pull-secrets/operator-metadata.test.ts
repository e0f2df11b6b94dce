// Tests which labels and annotations of a pull Secret are set and removed for the operator's settings.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findMetadataChange, noOperatorMetadata } from '../../src/pull-secrets/operator-metadata.ts';

const own = { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' };
const hosts = { 'ecr-pull-secrets.io/hosts': '{}' };
const wanted = { labels: { team: 'platform' }, annotations: { 'example.com/owner': 'a b' } };
const ownedBy = (manager: string, labels: string[], annotations: string[] = []) => [
  { manager, data: [], labels, annotations },
];

describe('metadata of the operator', () => {
  it('is added where it is missing, and restored where another client changed it', () => {
    assert.deepEqual(findMetadataChange({ labels: own, annotations: hosts }, wanted), wanted);
    const changed = { labels: { ...own, team: 'x' }, annotations: wanted.annotations };
    assert.deepEqual(findMetadataChange(changed, wanted), { labels: wanted.labels, annotations: {} });
  });

  it('is not changed where it is present', () => {
    const present = {
      labels: { ...own, ...wanted.labels },
      annotations: { ...hosts, ...wanted.annotations },
    };
    assert.equal(findMetadataChange(present, wanted), undefined);
    assert.equal(findMetadataChange({}, noOperatorMetadata), undefined);
  });

  it('is removed after it was removed from the settings, but not what others set', () => {
    const labels = { ...own, team: 'platform', other: 'x' };
    const annotations = { ...hosts, note: 'y', theirs: 'z' };
    const fieldOwners = [
      ...ownedBy('ecr-pull-secrets-1a2b', ['app.kubernetes.io/managed-by', 'team'], [...Object.keys(hosts)]),
      ...ownedBy('ecr-pull-secrets-metadata', [], ['note', 'already-gone']),
      ...ownedBy('kubectl-label', ['other'], ['theirs']),
    ];
    assert.deepEqual(findMetadataChange({ labels, annotations, fieldOwners }, noOperatorMetadata), {
      labels: { team: null },
      annotations: { note: null },
    });
  });

  it('has keys that are also names of built-in properties', () => {
    const settings = { labels: { constructor: 'x' }, annotations: {} };
    assert.deepEqual(findMetadataChange({}, settings), settings);
  });
});
