// Tests how the caches treat objects that cannot be parsed.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClusterCache, notifyOnChange } from '../../src/provisioning/cluster-cache.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { resolveRegistry } from '../support/registries.ts';

const malformed = { namespace: 'team-a', name: 'default', uid: 'u', resourceVersion: '2' };

describe('object that cannot be parsed', () => {
  it('counts as a deleted namespace', () => {
    const changed: string[] = [];
    const cache = new ClusterCache((namespace) => void changed.push(namespace));
    const handler = cache.createNamespaceHandler();
    handler.set({ name: 'team-a', isTerminating: false, labels: {} });
    handler.reject?.({ ...malformed, namespace: '', name: 'team-a' });
    assert.equal(cache.getObserved('team-a').namespace, undefined);
    assert.deepEqual(changed, ['team-a', 'team-a']);
  });

  it('counts as a deleted ServiceAccount', () => {
    const cache = new ClusterCache(() => undefined);
    const handler = cache.createServiceAccountHandler(undefined);
    handler.set({
      ...malformed,
      resourceVersion: '1',
      imagePullSecrets: [],
      managedReference: undefined,
      hasAnnotations: false,
    });
    handler.reject?.(malformed);
    assert.deepEqual(cache.getObserved('team-a').serviceAccounts, []);
  });

  it('counts as an unmanaged pull Secret', () => {
    const changed: (string | undefined)[] = [];
    const secretCache = new SecretCache(resolveRegistry);
    notifyOnChange(secretCache, (namespace) => void changed.push(namespace)).reject?.(malformed);
    assert.equal(secretCache.get('team-a')?.isManaged, false);
    assert.deepEqual(changed, ['team-a']);
  });
});
