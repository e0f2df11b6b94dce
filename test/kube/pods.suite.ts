// Tests listing the pods of a namespace page by page within limits, on any API server.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type ClusterConfig, loadKubeConfig } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { listPods, type PodListLimits } from '../../src/kube/pods.ts';
import { createHostCollector } from '../../src/pull-secrets/hosts-in-use.ts';
import { createAccountWithRules, expectCreated, secretsRule } from '../provisioning/provisioning-fixture.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { podWith } from '../support/pods.ts';
import { resolveRegistry } from '../support/registries.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

const hostOf = (account: number) => `${String(account).padStart(12, '0')}.dkr.ecr.eu-central-1.amazonaws.com`;
const podRule = { apiGroups: [''], resources: ['pods'], verbs: ['list'] };

describeOnEachApiServer('lists of pods', podsSuite);

/** Listing the pods of a namespace, on any API server. */
function podsSuite(apiServer: () => TestApiServer): void {
  let config: ClusterConfig;
  const configs: ClusterConfig[] = [];
  const configOf = (kubeconfigPath: string) => {
    const config = loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 10_000, userAgent: 'test' });
    configs.push(config);
    return config;
  };
  before(async () => {
    config = configOf(await createAccountWithRules(apiServer(), [secretsRule, podRule]));
  });
  after(() => Promise.all(configs.map((one) => one.close())));

  const create = (namespace: string, pod: unknown) =>
    expectCreated(apiServer(), `/api/v1/namespaces/${namespace}/pods`, pod);
  const hostsIn = async (namespace: string, limits?: Partial<PodListLimits>, as = config) => {
    const { hosts, add } = createHostCollector(resolveRegistry);
    await listPods(as, namespace, add, limits);
    return [...hosts.keys()].toSorted();
  };

  describe('the pods of a namespace', () => {
    it('include the hosts of every kind of container and of image volumes, page by page', async () => {
      const [namespace, other] = [await apiServer().createNamespace(), await apiServer().createNamespace()];
      await create(other, podWith([`${hostOf(99)}/app`]));
      for (const account of [1, 2, 3]) {
        await create(namespace, podWith([`${hostOf(account)}/app`, 'busybox', 'evil.example/app']));
      }
      const initContainers = [{ name: 'init', image: `${hostOf(4)}/init` }];
      const volumes = [{ name: 'v', image: { reference: `${hostOf(5)}/files` } }];
      const pod = podWith([`${hostOf(1)}/app`], { initContainers, volumes });
      await create(namespace, pod);
      const path = `/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}`;
      const { body } = await apiServer().request('GET', path);
      // Kubernetes 1.30 drops image volumes.
      const keepsImageVolumes = JSON.stringify(body).includes(hostOf(5));
      const expected = [1, 2, 3, 4, ...(keepsImageVolumes ? [5] : [])].map(hostOf);
      assert.deepEqual(await hostsIn(namespace), expected);
      assert.deepEqual(await hostsIn(namespace, { pageSize: 1 }), expected);
    });

    it('are not listed after they have finished', async () => {
      const namespace = await apiServer().createNamespace();
      for (const [index, phase] of ['Running', 'Succeeded', 'Failed', 'Pending'].entries()) {
        const pod = podWith([`${hostOf(index)}/app`]);
        await create(namespace, pod);
        const path = `/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}/status`;
        const { body } = await apiServer().request('GET', path.replace(/\/status$/, ''));
        const { status } = await apiServer().request('PUT', path, { ...Object(body), status: { phase } });
        assert.equal(status, 200);
      }
      assert.deepEqual(await hostsIn(namespace), [hostOf(0), hostOf(3)]);
    });

    it('are listed in smaller pages if they are large, and not at all beyond the limits', async () => {
      const namespace = await apiServer().createNamespace();
      const annotations = { filler: 'x'.repeat(200_000) };
      for (const account of [1, 2, 3, 4]) {
        await create(namespace, podWith([`${hostOf(account)}/app`], {}, annotations));
      }
      const small = { pageSize: 4, maxPageBytes: 300_000 };
      assert.deepEqual(await hostsIn(namespace, small), [1, 2, 3, 4].map(hostOf));
      const fails = (limits: Partial<PodListLimits>, detail: RegExp) =>
        assert.rejects(hostsIn(namespace, limits), (error: unknown) => {
          assert.ok(error instanceof KubeError);
          assert.equal(error.code, 'unknown');
          assert.match(error.message, detail);
          return true;
        });
      await fails({ pageSize: 4, maxPageBytes: 100_000 }, /a pod is too large/);
      await fails({ pageSize: 1, maxPages: 3 }, /more than 3 pages/);
    });

    it('cannot be listed without permission, and the error names the permission', async () => {
      const namespace = await apiServer().createNamespace();
      const without = configOf(await createAccountWithRules(apiServer(), [secretsRule]));
      await assert.rejects(hostsIn(namespace, {}, without), (error: unknown) => {
        assert.ok(error instanceof KubeError);
        assert.equal(error.code, 'forbidden');
        assert.match(error.message, /cannot list resource "pods"/);
        return true;
      });
    });
  });
}
