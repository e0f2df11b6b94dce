// Tests that slow actions do not delay others.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { resolveRegistries } from '../../src/ecr/registry.ts';
import { ClusterCache } from '../../src/provisioning/cluster-cache.ts';
import { createActionExecutor } from '../../src/provisioning/provisioning-actions.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';
import { resolveRegistry } from '../support/registries.ts';

const registries = resolveRegistries(['123456789012.dkr.ecr.us-east-1.amazonaws.com'], resolveRegistry);

describe('provisioning action', () => {
  it('is not delayed by namespaces whose writes hang', async () => {
    const gate = Promise.withResolvers<void>();
    const done: string[] = [];
    const execute = createActionExecutor({
      settings: {
        ...{
          secretName: 'ecr-pull-secrets',
          registries,
          labelSelector: '',
          excludedNamespaces: [],
          explicitOnlyNamespaces: [],
        },
        ...{ namespaces: [], serviceAccounts: ['default'] },
      },
      cache: new ClusterCache(() => undefined),
      secretCache: { get: () => undefined },
      secrets: {
        ensure: async (namespace) => {
          await (namespace.startsWith('slow') && gate.promise);
          return [];
        },
      },
      serviceAccountApi: { read: async () => undefined, patch: async (account) => account },
      log: createJsonLog('silent', new PassThrough()),
    });
    const slow = Array.from({ length: 10 }, (_, index) => `slow-${index}`);
    const all = [...slow, 'quick'].map(async (namespace) => {
      const outcome = await execute(namespace, { kind: 'ensure-secret', registries, reason: 'no-secret' });
      done.push(namespace);
      return outcome.done;
    });
    await eventually('the other namespace is provisioned', () => done.length === 1, 30_000);
    assert.deepEqual(done, ['quick']);
    gate.resolve();
    assert.ok((await Promise.all(all)).every((done) => done));
  });
});
