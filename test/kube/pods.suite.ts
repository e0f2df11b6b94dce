// Tests listing the pods of a namespace page by page within limits, on any API server.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type ClusterConfig, loadKubeConfig } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { createPodApi, listPendingPods, listPods, type PodListLimits } from '../../src/kube/pods.ts';
import { getMetadata } from '../../src/kube/resource.ts';
import { createHostCollector } from '../../src/pull-secrets/hosts-in-use.ts';
import { getField } from '../../src/util/json.ts';
import { createAccountWithRules, expectCreated, secretsRule } from '../provisioning/provisioning-fixture.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { podWith } from '../support/pods.ts';
import { resolveRegistry } from '../support/registries.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

const hostOf = (account: number) => `${String(account).padStart(12, '0')}.dkr.ecr.eu-central-1.amazonaws.com`;
const podRule = { apiGroups: [''], resources: ['pods'], verbs: ['list', 'delete'] };

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

  const nameOf = (pod: unknown) => String(getField(getField(pod, 'metadata'), 'name'));
  const namespaceOf = (pod: unknown) => getField(getField(pod, 'metadata'), 'namespace');
  const setPhase = async (namespace: string, name: string, phase: string) => {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    const { body } = await apiServer().request('GET', path);
    const { status } = await apiServer().request('PUT', `${path}/status`, {
      ...Object(body),
      status: { phase },
    });
    assert.equal(status, 200);
  };

  describe('the pending pods of all namespaces', () => {
    /** Names of the pending pods of some namespaces, and the sizes of the pages. */
    const listIn = async (namespaces: readonly string[], limits?: Parameters<typeof listPendingPods>[3]) => {
      const names: string[] = [];
      const pages: number[] = [];
      const onPage = (pods: readonly unknown[]) => {
        pages.push(pods.length);
        names.push(...pods.filter((pod) => namespaces.includes(String(namespaceOf(pod)))).map(nameOf));
      };
      await listPendingPods(config, onPage, AbortSignal.timeout(30_000), limits);
      return { names: names.toSorted(), pages };
    };

    it('include those that have not started, and no others', async () => {
      const namespaces = [await apiServer().createNamespace(), await apiServer().createNamespace()];
      const expected: string[] = [];
      for (const namespace of namespaces) {
        const [pending, running] = [podWith([`${hostOf(1)}/app`]), podWith([`${hostOf(1)}/app`])];
        await create(namespace, pending);
        await create(namespace, running);
        await setPhase(namespace, running.metadata.name, 'Running');
        expected.push(pending.metadata.name);
      }
      await eventually('the cache of the API server contains them', async () => {
        const { names } = await listIn(namespaces);
        assert.deepEqual(names, expected.toSorted());
        return true;
      });
    });

    it('are read page by page if a response would be too large, down to single pods', async () => {
      const namespace = await apiServer().createNamespace();
      // The small ones fill a page, because the pods of other tests after them may be large as well.
      const sizes = [700_000, 300_000, ...Array.from({ length: 8 }, () => 10)];
      const pods = sizes.map((size, index) => {
        const pod = podWith([`${hostOf(1)}/app`]);
        // Annotations have a limit of 256 KiB.
        const env = [{ name: 'FILLER', value: 'x'.repeat(size) }];
        const spec = { containers: pod.spec.containers.map((one) => ({ ...one, env })) };
        return { ...pod, metadata: { name: `pod-${index}` }, spec };
      });
      for (const pod of pods) {
        await create(namespace, pod);
      }
      const { names, pages } = await listIn([namespace], { pageSize: 8, maxPageBytes: 200_000 });
      assert.deepEqual(names, pods.map(({ metadata }) => metadata.name).toSorted());
      assert.ok(pages.includes(1) && Math.max(...pages) > 1, `pages of ${pages.join()}`);
    });

    it('stop with an error when the signal aborts, and without permission', async () => {
      await assert.rejects(
        listPendingPods(config, () => undefined, AbortSignal.abort()),
        (error: unknown) => error instanceof KubeError,
      );
      const without = configOf(await createAccountWithRules(apiServer(), [secretsRule]));
      await assert.rejects(
        listPendingPods(without, () => undefined, AbortSignal.timeout(30_000)),
        (error: unknown) => error instanceof KubeError && error.code === 'forbidden',
      );
    });
  });

  describe('the deletion of a pod', () => {
    it('deletes the version that was read, and no later one', async () => {
      const namespace = await apiServer().createNamespace();
      const pod = podWith([`${hostOf(1)}/app`]);
      const { name } = pod.metadata;
      const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
      const read = async () => {
        const { uid, resourceVersion } = getMetadata((await apiServer().request('GET', path)).body);
        return { namespace, name, uid: String(uid), resourceVersion: String(resourceVersion) };
      };
      await create(namespace, pod);
      const before = await read();
      await setPhase(namespace, name, 'Running');
      const pods = createPodApi(config);
      assert.equal(await pods.delete(before), false);
      assert.equal(await pods.delete({ ...(await read()), uid: 'another' }), false);
      assert.equal(await pods.delete(await read()), true);
      assert.equal(await pods.delete(before), false, 'the pod is gone');
      assert.equal((await apiServer().request('GET', path)).status, 404);
    });
  });
}
