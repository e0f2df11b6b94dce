// Tests that install, upgrade, roll back and uninstall the chart on a real API server.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { describeChartOnCluster, offersPolicy } from './chart-suite.ts';
import { installCustomResources } from './custom-resources.ts';
import { chartFolder, type Values } from './helm.ts';
import { getApiVersions, getMinorVersion, installModes, registry } from './install-modes.ts';
import { difference, listAllObjects } from './inventory.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt, type KubeObject } from './rendered-objects.ts';

/** The collections of kinds whose path does not follow from the kind. */
const collections: Readonly<Record<string, string>> = {
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
};

function collectionOf({ apiVersion, kind, metadata: { namespace } }: KubeObject): string {
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = `${kind.toLowerCase()}s`.replace(/ys$/, 'ies');
  return collections[kind] ?? `${base}/${namespace === undefined ? '' : `namespaces/${namespace}/`}${plural}`;
}

describeChartOnCluster('the chart, installed by Helm', (cluster, helm) => {
  const usable = () => installModes.filter(({ since = 30 }) => since <= getMinorVersion(cluster().version));
  const everything = () => listAllObjects(cluster().request);
  const tests = ({ metadata }: KubeObject) => metadata.annotations?.['helm.sh/hook'] === undefined;
  /** The names of the rendered objects, in the format of `listAllObjects`. */
  const renderNames = async (release: Release, values: Values) => {
    const objects = await helm().template(values, {
      release: release.name,
      namespace: release.namespace,
      kubeVersion: cluster().version,
      apiVersions: getApiVersions(cluster().version),
    });
    const names = objects.filter(tests).map((object) => {
      const plural = collectionOf(object).split('/').at(-1);
      return `${plural} ${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    });
    return names.sort();
  };
  before(() => installCustomResources(cluster().request));

  it('needs one command without values, and an uninstallation removes all objects', async () => {
    const before = await everything();
    const flags = ['--namespace', 'ecr-pull-secrets', '--create-namespace'];
    const install = ['install', 'ecr-pull-secrets', chartFolder, ...flags];
    const { code, stdout, stderr } = await helm().run(install, undefined, cluster().kubeconfigPath);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /adds the pull Secret `ecr-pull-secrets` to every new pod/);
    const mode = offersPolicy(cluster()) ? 'both' : 'webhook';
    assert.match(stdout, new RegExp(`Injection mode: ${mode} \\(chosen by`));
    assert.match(stdout, /Provide AWS credentials\. `aws\.credentials\.source` is `default`/);
    const namespace = 'namespaces /ecr-pull-secrets';
    assert.ok((await everything()).has(namespace));
    const uninstall = ['uninstall', 'ecr-pull-secrets', '--namespace', 'ecr-pull-secrets'];
    assert.equal((await helm().run(uninstall, undefined, cluster().kubeconfigPath)).code, 0);
    assert.deepEqual(difference(await everything(), before), [namespace]);
    assert.deepEqual(difference(before, await everything()), []);
  });

  it('has only fields that the API server knows, in every mode', async () => {
    const { namespace } = await createRelease(cluster(), helm());
    for (const { name, values } of usable()) {
      const objects = await helm().template(values, {
        namespace,
        kubeVersion: cluster().version,
        apiVersions: getApiVersions(cluster().version),
      });
      for (const object of objects) {
        const path = `${collectionOf(object)}?dryRun=All&fieldValidation=Strict`;
        const { status, body, warnings } = await cluster().request('POST', path, object);
        assert.deepEqual([status, warnings], [201, []], `${name}: ${object.kind} ${JSON.stringify(body)}`);
      }
    }
  });

  describe('changes of the mode', () => {
    let release: Release;
    let empty: Set<string>;
    const has = async (values: Values) =>
      assert.deepEqual(difference(await everything(), empty), await renderNames(release, values));
    before(async () => {
      release = await createRelease(cluster(), helm());
      empty = await everything();
    });

    /** Creates the pods in a dry run, because no controller creates them. */
    const assertPodsAdmitted = async (name: string) => {
      const pods = `/api/v1/namespaces/${release.namespace}/pods?dryRun=All&fieldValidation=Strict`;
      for (const pod of await release.pods()) {
        const { status, body, warnings } = await cluster().request('POST', pods, pod);
        assert.deepEqual([status, warnings], [201, []], `${name}: ${JSON.stringify(body)}`);
      }
    };

    it('upgrade to each mode, with exactly its objects and with pods that are admitted', async () => {
      await release.install({});
      for (const { name, values } of usable()) {
        // By default Helm keeps only ten revisions.
        await release.upgrade(values, ['--reset-values', '--history-max', '0']);
        await has(values);
        await assertPodsAdmitted(name);
      }
    });

    it('roll back to the first mode', async () => {
      await release.rollback(1);
      await has({});
    });

    it('leave no object after the uninstallation', async () => {
      await release.uninstall();
      assert.deepEqual(difference(await everything(), empty), []);
    });
  });

  it('is tested in a namespace that refuses pods that are not restricted', async () => {
    const { namespace } = await createRelease(cluster(), helm());
    const spec = { containers: [{ name: 'c', image: 'busybox' }] };
    const pod = { metadata: { name: 'loose' }, spec };
    const { status } = await cluster().request(
      'POST',
      `/api/v1/namespaces/${namespace}/pods?dryRun=All`,
      pod,
    );
    assert.equal(status, 403, 'otherwise the tests of pods of the chart prove nothing');
  });

  it('refuses the policy on clusters without it, with a remedy', async (t) => {
    if (getMinorVersion(cluster().version) >= 36) {
      t.skip('this version has MutatingAdmissionPolicy');
      return;
    }
    const release = await createRelease(cluster(), helm());
    const values = { injection: 'policy', config: { provisioning: { registries: [registry] } } };
    await assert.rejects(release.install(values), /from 1\.36 on and this cluster .*use injection: webhook/);
  });

  describe('a certificate that is no longer managed', () => {
    const own = { certificates: { mode: 'existingSecret', secretName: 'own', caBundle: btoa('a CA') } };
    const configuration =
      '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets';
    const caBundle = async () => {
      const { body } = await cluster().request('GET', configuration);
      return getValueAt(body, 'webhooks.0.clientConfig.caBundle');
    };
    const published = [{ op: 'add', path: '/webhooks/0/clientConfig/caBundle', value: btoa('managed') }];
    const publish = () =>
      cluster().request('PATCH', `${configuration}?fieldManager=ecr-pull-secrets`, published, {
        contentType: 'application/json-patch+json',
      });

    it('stays in the webhook during upgrades, and is replaced with --force-conflicts', async () => {
      const release = await createRelease(cluster(), helm());
      await release.install();
      assert.equal((await publish()).status, 200);
      await release.upgrade({ replicaCount: 3, webhook: { timeoutSeconds: 3 } });
      assert.equal(await caBundle(), btoa('managed'), 'an upgrade must not remove the CA');
      await assert.rejects(release.upgrade(own), /conflict with "ecr-pull-secrets".*\n?.*caBundle/s);
      await release.upgrade(own, ['--force-conflicts']);
      assert.equal(await caBundle(), btoa('a CA'));
      await release.upgrade({}, ['--reset-values']);
      await eventually('the program can publish its CA again', async () => (await publish()).status === 200);
      await release.uninstall();
    });
  });
});
