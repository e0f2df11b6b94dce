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
import { describeChartOnCluster } from './chart-suite.ts';
import { registry } from './install-modes.ts';
import { addSidecar, hasRewrittenSidecar, LateWebhooks, toPullThroughCache } from './late-webhooks.ts';
import { getLocalProgramValues, installWithLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { findOne, getValueAt } from './rendered-objects.ts';

const webhooks = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

/**
 * A cluster on which suites find the chart's account, rights and webhook where they would make their own: what they ask
 * to be made is made by Helm.
 */
function withRelease(cluster: () => Cluster, release: () => Release): TestApiServer {
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
      if (/\/clusterrole(binding)?s$/.test(path)) return done;
      if (!path.startsWith(webhooks)) return await cluster().request(method, path, body);
      if (method === 'POST') {
        const { url, caBundle } = getValueAt(body, 'webhooks.0.clientConfig');
        await release().upgrade(getLocalProgramValues({}, { webhookUrl: url, caPem: caBundle }));
      }
      return done;
    },
    stop: async () => undefined,
  };
}

describeChartOnCluster("the main job with the chart's account, rights and webhook", (cluster, helm) => {
  let release: Release;
  before(async () => {
    release = await createRelease(cluster(), helm());
    await release.install(getLocalProgramValues({}));
  });
  after(() => release.uninstall());
  const apiServer = withRelease(cluster, () => release);
  injectionSuite(() => apiServer);
  failuresSuite(() => apiServer);
  denySuite(() => apiServer);
});

describeChartOnCluster('what reaches the program', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, {
      namespaces: { exclude: ['left-alone'] },
    });
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });

  const image = `${registry}/app:1`;
  const create = (namespace: string, pod = podWith([image])) => createPod(cluster(), namespace, pod);
  const reviews = async () => {
    const counts = (await program.metrics()).matchAll(/^ecr_pull_secrets_reviews_total\{.*\} (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const unasked = async (what: () => Promise<unknown>) => {
    const before = await reviews();
    await what();
    assert.equal(await reviews(), before);
  };
  const namespaceWith = async (name: string, labels: Record<string, string> = {}) => {
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name, labels } });
    return name;
  };

  it('is a pod with an ECR image, which gets the reference and the Secret', async () => {
    const namespace = await cluster().createNamespace();
    assert.deepEqual((await create(namespace)).pullSecrets, ['ecr-pull-secrets']);
    assert.deepEqual(Object.keys((await readPullSecret(cluster(), namespace))?.auths ?? {}), [registry]);
  });

  it('is no pod without one, and no mirror pod', async () => {
    const namespace = await cluster().createNamespace();
    await unasked(() => create(namespace, podWith(['busybox'])));
    await unasked(async () => {
      const { status, pullSecrets } = await create(namespace, mirrorPod(image));
      assert.deepEqual([status, pullSecrets], [201, []]);
    });
  });

  it('is no pod of a namespace that is left out', async () => {
    const names = [release.namespace, await namespaceWith('left-alone'), 'kube-system'];
    const optedOut = await namespaceWith('opted-out', { 'ecr-pull-secrets.io/inject': 'false' });
    for (const namespace of [...names, optedOut]) {
      await unasked(async () => assert.equal((await create(namespace, restrictedPod(image))).status, 201));
    }
  });

  it('is an update that changes an image, and no other', async () => {
    const namespace = await cluster().createNamespace();
    const pod = podWith([image]);
    await create(namespace, pod);
    const change = (how: (body: Record<string, unknown>) => unknown, subresource = '') =>
      updatePod(cluster(), namespace, pod.metadata.name, how, subresource);
    await unasked(async () => {
      const answer = await change((body) => ({
        ...body,
        metadata: { ...Object(body['metadata']), labels: { a: 'b' } },
      }));
      assert.equal(answer.status, 200);
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
    await eventually('both hosts are there', async () => {
      const hosts = Object.keys((await readPullSecret(cluster(), namespace))?.auths ?? {});
      return hosts.includes(other) && hosts.includes(third);
    });
  });

  it('is a large pod, too: the conditions do not cost more than the API server allows', async () => {
    const namespace = await cluster().createNamespace();
    const env = Array.from({ length: 50 }, (_, index) => ({ name: `V${index}`, value: 'v'.repeat(200) }));
    const pod = podWith(
      Array.from({ length: 100 }, () => `${'registry.example/'.padEnd(200, 'a')}:1`).concat(image),
    );
    const containers = pod.spec.containers.map((container) => ({ ...container, env }));
    const large = { ...pod, spec: { containers } };
    assert.deepEqual((await create(namespace, large)).pullSecrets, ['ecr-pull-secrets']);
    const before = await reviews();
    const changed = await updatePod(cluster(), namespace, pod.metadata.name, (body) => {
      const [first, ...others] = getValueAt(body, 'spec.containers');
      return {
        ...body,
        spec: { ...Object(body['spec']), containers: [{ ...first, image: `${image}1` }, ...others] },
      };
    });
    assert.equal(changed.status, 200);
    assert.equal(await reviews(), before + 1);
  });

  it('is a pod that webhooks change in their second pass only once the match condition is removed, as docs/how-to/rewritten-images.md says', async () => {
    const late = new LateWebhooks(cluster());
    try {
      await late.register('kyverno-resource-mutating-webhook-cfg', 'IfNeeded', toPullThroughCache);
      await late.register('vault-agent-injector-cfg', 'Never', addSidecar);
      const app = () => podWith(['ghcr.io/example/app:1']);
      assert.deepEqual(await late.create(app, hasRewrittenSidecar), []);
      const path = `${webhooks}/zz-ecr-pull-secrets`;
      const { body } = await cluster().request('GET', path);
      assert.equal(getValueAt(body, 'webhooks.0.matchConditions.2.name'), 'ecr-image');
      const patch = [{ op: 'remove', path: '/webhooks/0/matchConditions/2' }];
      await cluster().request('PATCH', path, patch, { contentType: 'application/json-patch+json' });
      await eventually('the webhook is called for every pod', async () => {
        const pullSecrets = await late.create(app, hasRewrittenSidecar);
        return pullSecrets.includes('ecr-pull-secrets');
      });
    } finally {
      await late.removeAll();
      await release.upgrade(getLocalProgramValues({ namespaces: { exclude: ['left-alone'] } }, program));
    }
  });

  it('makes `helm test` succeed where the program is ready, and fail where it is not', async () => {
    const objects = await helm().template({}, { namespace: release.namespace });
    const { command, args } = getValueAt(findOne(objects, 'Pod'), 'spec.containers.0');
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

  it('is nothing at all while the program is away: pods come all the same', async () => {
    const namespace = await cluster().createNamespace();
    await program.stop();
    const { status, pullSecrets } = await create(namespace);
    assert.deepEqual([status, pullSecrets], [201, []]);
  });
});
