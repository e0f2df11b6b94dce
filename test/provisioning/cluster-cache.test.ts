import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClusterCache, notifyOnChange } from '../../src/provisioning/cluster-cache.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';

const unreadable = { namespace: 'team-a', name: 'default', uid: 'u', resourceVersion: '2' };

describe('an object that cannot be read', () => {
  it('is a namespace in which nothing is provided any more', () => {
    const changed: string[] = [];
    const world = new ClusterCache((namespace) => void changed.push(namespace));
    const sink = world.createNamespaceHandler();
    sink.set({ name: 'team-a', isTerminating: false });
    sink.reject?.({ ...unreadable, namespace: '', name: 'team-a' });
    assert.equal(world.getObserved('team-a').namespace, undefined);
    assert.deepEqual(changed, ['team-a', 'team-a']);
  });

  it('is a ServiceAccount that is left as it is', () => {
    const world = new ClusterCache(() => undefined);
    const sink = world.createServiceAccountHandler(undefined);
    sink.set({
      ...unreadable,
      resourceVersion: '1',
      imagePullSecrets: [],
      managedReference: undefined,
      hasAnnotations: false,
    });
    sink.reject?.(unreadable);
    assert.deepEqual(world.getObserved('team-a').serviceAccounts, []);
  });

  it('is a pull Secret that is not ours', () => {
    const changed: (string | undefined)[] = [];
    const secretCache = new SecretCache();
    notifyOnChange(secretCache, (namespace) => void changed.push(namespace)).reject?.(unreadable);
    assert.equal(secretCache.get('team-a')?.isManaged, false);
    assert.deepEqual(changed, ['team-a']);
  });
});
