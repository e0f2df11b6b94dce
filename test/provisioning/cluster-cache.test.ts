import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { told, World } from '../../src/provisioning/cluster-cache.ts';
import { SecretView } from '../../src/pull-secrets/secret-cache.ts';

const unreadable = { namespace: 'team-a', name: 'default', uid: 'u', resourceVersion: '2' };

describe('an object that cannot be read', () => {
  it('is a namespace in which nothing is provided any more', () => {
    const changed: string[] = [];
    const world = new World((namespace) => void changed.push(namespace));
    const sink = world.namespaces();
    sink.set({ name: 'team-a', terminating: false });
    sink.reject?.({ ...unreadable, namespace: '', name: 'team-a' });
    assert.equal(world.seen('team-a').namespace, undefined);
    assert.deepEqual(changed, ['team-a', 'team-a']);
  });

  it('is a ServiceAccount that is left as it is', () => {
    const world = new World(() => undefined);
    const sink = world.accounts(undefined);
    sink.set({
      ...unreadable,
      resourceVersion: '1',
      pullSecrets: [],
      reference: undefined,
      annotated: false,
    });
    sink.reject?.(unreadable);
    assert.deepEqual(world.seen('team-a').accounts, []);
  });

  it('is a pull Secret that is not ours', () => {
    const changed: (string | undefined)[] = [];
    const view = new SecretView();
    told(view, (namespace) => void changed.push(namespace)).reject?.(unreadable);
    assert.equal(view.get('team-a')?.ours, false);
    assert.deepEqual(changed, ['team-a']);
  });
});
