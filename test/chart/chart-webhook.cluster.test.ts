// Tests of the webhook with the chart's ServiceAccount, permissions and webhook configuration, on a real API server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, it } from 'node:test';
import type { Cluster } from '../cluster/cluster.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, mirrorPod, podWith, restrictedPod, updatePod } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { failuresSuite } from '../webhook/admission-failure-tests.ts';
import { injectionSuite } from '../webhook/injection-tests.ts';
import { denySuite } from '../webhook/on-failure-deny-tests.ts';
import { describeChartOnCluster, offersPolicy } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { getApiVersions, registry } from './install-modes.ts';
import { getLocalProgramValues, installWithLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { findOne, getValueAt } from './rendered-objects.ts';

const webhooks = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

/**
 * Wraps a cluster so that suites use the chart's ServiceAccount, permissions and webhook instead of creating their own: requests
 * that would create them upgrade the release instead.
 */
function withRelease(cluster: () => Cluster, release: () => Release, values: Values): TestApiServer {
  const done = { status: 201, body: {}, warnings: [] };
  return {
    get version() {
      return cluster().version;
    },
    get kubeconfigPath() {
      return cluster().kubeconfigPath;
    },
    createNamespace: (prefix) => cluster().createNamespace(prefix),
    serviceAccountKubeconfig: () => release().kubeconfig(),
    request: async (method, path, body) => {
      if (/\/clusterrole(binding)?s$/.test(path)) {
        return done;
      }
      if (!path.startsWith(webhooks)) {
        return await cluster().request(method, path, body);
      }
      if (method === 'POST') {
        const { url, caBundle } = getValueAt(body, 'webhooks.0.clientConfig');
        await release().upgrade(getLocalProgramValues(values, { webhookUrl: url, caPem: caBundle }));
      }
      return done;
    },
    stop: async () => undefined,
  };
}

/** Runs the suites with a release of the chart. */
function describeInjection(name: string, values: Values, suites: (apiServer: () => TestApiServer) => void) {
  describeChartOnCluster(name, (cluster, helm) => {
    let release: Release;
    before(async () => {
      release = await createRelease(cluster(), helm());
      await release.install(getLocalProgramValues(values));
    });
    after(() => release.uninstall());
    const apiServer = withRelease(cluster, () => release, values);
    suites(() => apiServer);
  });
}

describeInjection("injection with the chart's ServiceAccount, permissions and webhook", {}, (apiServer) => {
  injectionSuite(apiServer, () => offersPolicy(apiServer()));
  failuresSuite(apiServer);
  denySuite(apiServer);
});

describeInjection('the same without a policy', { injection: 'webhook' }, (apiServer) => {
  injectionSuite(apiServer);
});

describeChartOnCluster('requests that reach the program', (cluster, helm) => {
  const values: Values = { injection: 'webhook', namespaces: { exclude: ['excluded'] } };
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, values);
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });

  const image = `${registry}/app:1`;
  const create = (namespace: string, pod = podWith([image])) => createPod(cluster(), namespace, pod);
  const countRequests = async () => {
    const counts = (await program.metrics()).matchAll(
      /^ecr_pull_secrets_admission_requests_total\{.*\} (\d+)$/gm,
    );
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const expectNoRequest = async (action: () => Promise<unknown>) => {
    const before = await countRequests();
    await action();
    assert.equal(await countRequests(), before);
  };
  const namespaceWith = async (name: string, labels: Record<string, string> = {}) => {
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name, labels } });
    return name;
  };

  it('include a pod with an ECR image, which gets the reference and the Secret', async () => {
    const namespace = await cluster().createNamespace();
    assert.deepEqual((await create(namespace)).pullSecrets, ['ecr-pull-secrets']);
    assert.deepEqual(Object.keys((await readPullSecret(cluster(), namespace))?.auths ?? {}), [registry]);
  });

  it('exclude pods without an ECR image and mirror pods', async () => {
    const namespace = await cluster().createNamespace();
    await expectNoRequest(() => create(namespace, podWith(['busybox'])));
    await expectNoRequest(async () => {
      const { status, pullSecrets } = await create(namespace, mirrorPod(image));
      assert.deepEqual([status, pullSecrets], [201, []]);
    });
  });

  it('exclude pods of excluded namespaces', async () => {
    const names = [release.namespace, await namespaceWith('excluded'), 'kube-system'];
    const optedOut = await namespaceWith('opted-out', { 'ecr-pull-secrets.io/inject': 'false' });
    for (const namespace of [...names, optedOut]) {
      await expectNoRequest(async () =>
        assert.equal((await create(namespace, restrictedPod(image))).status, 201),
      );
    }
  });

  it('include updates that change an image, and no other updates', async () => {
    const namespace = await cluster().createNamespace();
    const pod = podWith([image]);
    await create(namespace, pod);
    const change = (how: (body: Record<string, unknown>) => unknown, subresource = '') =>
      updatePod(cluster(), namespace, pod.metadata.name, how, subresource);
    await expectNoRequest(async () => {
      const labelled = await change((body) => ({
        ...body,
        metadata: { ...Object(body['metadata']), labels: { a: 'b' } },
      }));
      assert.equal(labelled.status, 200);
    });
    const other = registry.replace('eu-central-1', 'eu-west-1');
    const changed = await change((body) => {
      const containers = getValueAt(body, 'spec.containers').map((one: object) => ({
        ...one,
        image: `${other}/app:1`,
      }));
      return { ...body, spec: { ...Object(body['spec']), containers } };
    });
    assert.equal(changed.status, 200);
    const third = registry.replace('eu-central-1', 'eu-west-2');
    const debug = { name: 'debug', image: `${third}/debug:1` };
    await change(
      (body) => ({ ...body, spec: { ...Object(body['spec']), ephemeralContainers: [debug] } }),
      '/ephemeralcontainers',
    );
    await eventually('both hosts have tokens', async () => {
      const hosts = Object.keys((await readPullSecret(cluster(), namespace))?.auths ?? {});
      return hosts.includes(other) && hosts.includes(third);
    });
  });

  it('include large pods: the conditions stay within the cost limit of the API server', async () => {
    const namespace = await cluster().createNamespace();
    const env = Array.from({ length: 50 }, (_, index) => ({ name: `V${index}`, value: 'v'.repeat(200) }));
    const pod = podWith(
      Array.from({ length: 100 }, () => `${'registry.example/'.padEnd(200, 'a')}:1`).concat(image),
    );
    const containers = pod.spec.containers.map((container) => ({ ...container, env }));
    const large = { ...pod, spec: { containers } };
    assert.deepEqual((await create(namespace, large)).pullSecrets, ['ecr-pull-secrets']);
    const before = await countRequests();
    const changed = await updatePod(cluster(), namespace, pod.metadata.name, (body) => {
      const [first, ...others] = getValueAt(body, 'spec.containers');
      return {
        ...body,
        spec: { ...Object(body['spec']), containers: [{ ...first, image: `${image}1` }, ...others] },
      };
    });
    assert.equal(changed.status, 200);
    assert.equal(await countRequests(), before + 1);
  });

  it('include pods without an ECR image with webhook.match: allPods, but no mirror pods and other updates', async () => {
    await release.upgrade(getLocalProgramValues({ ...values, webhook: { match: 'allPods' } }, program));
    const namespace = await cluster().createNamespace();
    await eventually('the webhook is called for every pod', async () => {
      const before = await countRequests();
      const { status, pullSecrets } = await create(namespace, podWith(['busybox']));
      assert.deepEqual([status, pullSecrets], [201, []]);
      return (await countRequests()) === before + 1;
    });
    await expectNoRequest(() => create(namespace, mirrorPod(image)));
    await expectNoRequest(() => create('kube-system', podWith(['busybox'])));
    const pod = podWith(['busybox']);
    await create(namespace, pod);
    await expectNoRequest(() =>
      updatePod(cluster(), namespace, pod.metadata.name, (body) => ({
        ...body,
        metadata: { ...Object(body['metadata']), labels: { a: 'b' } },
      })),
    );
    assert.equal(await readPullSecret(cluster(), namespace), undefined);
  });

  it('let `helm test` succeed if the program is ready, and fail otherwise', async () => {
    const apiVersions = getApiVersions(cluster().version);
    const objects = await helm().template({}, { namespace: release.namespace, apiVersions });
    const { command, args } = getValueAt(
      findOne(objects, 'Pod', 'ecr-pull-secrets-test-readyz'),
      'spec.containers.0',
    );
    const readyz = async (url: string) => {
      const environment = { ...process.env, READYZ: `${url}/readyz` };
      const child = spawn(process.execPath, [...command.slice(1), ...args], {
        env: environment,
        stdio: 'ignore',
      });
      const [code] = await once(child, 'exit');
      return code;
    };
    assert.equal(await readyz(program.statusUrl), 0);
    const unready = createServer((_request, response) => response.writeHead(503).end('draining'));
    await once(unready.listen(0, '127.0.0.1'), 'listening');
    const { port } = unready.address() as AddressInfo;
    assert.equal(await readyz(`http://127.0.0.1:${port}`), 1);
    unready.close();
  });

  it('fail open: pods are created while the program is stopped', async () => {
    const namespace = await cluster().createNamespace();
    await program.stop();
    const { status, pullSecrets } = await create(namespace);
    assert.deepEqual([status, pullSecrets], [201, []]);
  });
});
