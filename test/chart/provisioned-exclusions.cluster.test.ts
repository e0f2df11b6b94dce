// Tests of provisioning in namespaces that are excluded from admission: kube-system and the chart's own.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { createRequest, send } from '../cluster/kube-request.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith, restrictedPod } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { registry } from './install-modes.ts';
import { getLocalProgramValues, installWithLocalProgram, startLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

const other = registry.replace('eu-central-1', 'eu-west-1');

describeChartOnCluster('namespaces that are excluded from admission', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  let provisioned: string[];
  const values = (names: string[]) => ({
    config: { provisioning: { registries: [registry], namespaces: { names } } },
  });
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    provisioned = ['kube-system', release.namespace];
    // Creates the ServiceAccount `default` if it does not exist.
    await cluster().serviceAccountKubeconfig('kube-system', 'default');
    program = await installWithLocalProgram(cluster(), release, ecr, values(['team-*', ...provisioned]));
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });
  const references = async (namespace: string): Promise<string[]> => {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
    const { body } = await cluster().request('GET', path);
    return (getValueAt(body, 'imagePullSecrets') ?? []).map(({ name }: { name: string }) => name);
  };

  it('have Secret and reference if provisioning names them, including the namespace of the program', async () => {
    for (const namespace of provisioned) {
      await eventually(
        `${namespace} is provisioned`,
        async () =>
          (await readPullSecret(cluster(), namespace))?.auths[registry] !== undefined &&
          (await references(namespace)).includes('ecr-pull-secrets'),
        60_000,
      );
    }
  });

  it('stay excluded from admission: no pod is injected, and a forged request adds no host', async () => {
    const image = `${other}/app:1`;
    const forge = (namespace: string) =>
      send(
        program.webhookUrl,
        { method: 'POST', ca: program.caPem, servername: 'localhost' },
        buildPodReview(podWith([image]), { namespace }),
      );
    for (const namespace of provisioned) {
      assert.deepEqual((await createPod(cluster(), namespace, restrictedPod(image))).pullSecrets, []);
      assert.equal((await forge(namespace)).status, 200);
    }
    const selected = await cluster().createNamespace();
    await forge(selected);
    await eventually(
      'a later request for a selected namespace is stored',
      async () => (await readPullSecret(cluster(), selected))?.auths[other] !== undefined,
      60_000,
    );
    for (const namespace of provisioned) {
      const { hosts } = (await readPullSecret(cluster(), namespace)) ?? {};
      assert.deepEqual(Object.keys(hosts ?? {}), [registry], namespace);
    }
  });

  it('are refused by the fence once provisioning no longer names them, and their references are removed', async () => {
    const asProgram = createRequest(await release.kubeconfig());
    const apply = async (namespace: string) => {
      const object = {
        ...{ apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/dockerconfigjson' },
        metadata: {
          name: 'ecr-pull-secrets',
          labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' },
        },
        data: { '.dockerconfigjson': btoa('{"auths":{}}') },
      };
      const path = `${secretPath(namespace)}?fieldManager=ecr-pull-secrets&force=true&dryRun=All`;
      return await asProgram('PATCH', path, object, { contentType: 'application/apply-patch+yaml' });
    };
    for (const namespace of provisioned) {
      assert.equal((await apply(namespace)).status, 200);
    }
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name: 'kube-public' } });
    await program.stop();
    await release.upgrade(getLocalProgramValues(values([]), program));
    for (const namespace of provisioned) {
      await eventually(
        'the fence refuses writes',
        async () => (await apply(namespace)).status === 403,
        60_000,
      );
      assert.match(getValueAt((await apply(namespace)).body, 'message'), /which is excluded/);
    }
    assert.equal((await apply('kube-public')).status, 201);
    program = await startLocalProgram(release, ecr);
    for (const namespace of provisioned) {
      await eventually(
        `the reference is removed in ${namespace}`,
        async () => (await references(namespace)).length === 0,
        60_000,
      );
    }
  });
});
