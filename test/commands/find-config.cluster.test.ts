// Tests on a real API server that a ConfigMap of a tenant does not become the configuration of the diagnosis.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type DoctorRun, runDoctor } from '../diagnosis/run-doctor.ts';
import { createAccountWithRules, expectCreated } from '../provisioning/provisioning-fixture.ts';
import { runCommand } from './run-command.ts';

const labels = { 'app.kubernetes.io/name': 'ecr-pull-secrets' };
const webhookPath = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const bindingPath = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
/** What `view` grants in all namespaces, as far as it matters here. */
const viewerRules = [{ apiGroups: [''], resources: ['configmaps', 'secrets'], verbs: ['get', 'list'] }];

describeOnCluster(
  'the configuration of the installation',
  (cluster) => {
    let tenant: string;
    let operator: string;
    let viewer: string;
    before(async () => {
      tenant = await cluster().createNamespace('a-tenant');
      operator = await cluster().createNamespace('operator');
      viewer = await createAccountWithRules(cluster(), viewerRules);
      await createConfigMap(tenant, 'ecr-pull-secrets', 'secretName: of-the-tenant');
    });

    const createConfigMap = (namespace: string, name: string, content: string) =>
      expectCreated(cluster(), `/api/v1/namespaces/${namespace}/configmaps`, {
        metadata: { name, labels },
        data: { 'config.yaml': content },
      });
    const remove = async (path: string) => {
      assert.equal((await cluster().request('DELETE', path)).status, 200);
    };
    const registerWebhook = (clientConfig: object) =>
      expectCreated(cluster(), webhookPath, {
        metadata: { name: 'zz-ecr-pull-secrets', labels },
        webhooks: [
          {
            ...{ name: 'pods.ecr-pull-secrets.io', admissionReviewVersions: ['v1'], sideEffects: 'None' },
            ...{ clientConfig, failurePolicy: 'Ignore' },
          },
        ],
      });
    const bindRole = (namespace: string) =>
      expectCreated(cluster(), bindingPath, {
        metadata: { name: 'ecr-pull-secrets', labels },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'ecr-pull-secrets' },
        subjects: [{ kind: 'ServiceAccount', name: 'ecr-pull-secrets', namespace }],
      });
    const examine = (kubeconfig = cluster().kubeconfigPath): Promise<DoctorRun> =>
      runDoctor(['--kubeconfig', kubeconfig, '--group', 'configuration']);
    const configuration = async (...call: Parameters<typeof examine>) => {
      const result = (await examine(...call)).checks.get('configuration-valid');
      return `${result?.outcome}: ${result?.summary}`;
    };
    /** Runs a command that prints JSON, with the default configuration. */
    const run = async (...args: string[]) => {
      const { stdout, stderr } = await runCommand([...args, '--output', 'json']);
      assert.equal(stderr, '');
      return JSON.parse(stdout);
    };

    it('is that of the namespace in the webhook configuration, and not that of a tenant', async () => {
      await createConfigMap(operator, 'ecr-pull-secrets', 'secretName: of-the-operator');
      await registerWebhook({ service: { namespace: operator, name: 'ecr-pull-secrets' } });
      const report = await examine();
      assert.equal(report.report.namespace, operator);
      assert.equal(
        report.checks.get('configuration-valid')?.summary,
        `the configuration is valid (ConfigMap ${operator}/ecr-pull-secrets); one setting differs from the defaults`,
      );
      const { notes } = await run('status', '--kubeconfig', cluster().kubeconfigPath);
      assert.deepEqual(notes, [`the configuration is that of ConfigMap ${operator}/ecr-pull-secrets`]);
      const given = ['--kubeconfig', cluster().kubeconfigPath, '--install-namespace', operator];
      assert.deepEqual((await run('status', ...given)).notes, []);
      const { parts } = await run(
        ...['doctor', 'pod', `${tenant}/none`, '--kubeconfig', cluster().kubeconfigPath],
      );
      assert.equal(parts[0].checks[0].summary, notes[0]);
      await remove(`${webhookPath}/zz-ecr-pull-secrets`);
    });

    it('is that of the namespace in the ClusterRoleBinding if the webhook has a URL, or there is none', async () => {
      await bindRole(operator);
      assert.match(await configuration(), new RegExp(`^ok: .+ \\(ConfigMap ${operator}/`));
      await registerWebhook({ url: 'https://webhook.example.com/mutate' });
      assert.match(await configuration(), new RegExp(`^ok: .+ \\(ConfigMap ${operator}/`));
      await remove(`${webhookPath}/zz-ecr-pull-secrets`);
      await remove(`${bindingPath}/ecr-pull-secrets`);
    });

    it('is not searched for elsewhere if the namespace of the webhook has no ConfigMap', async () => {
      const empty = await cluster().createNamespace('empty');
      await registerWebhook({ service: { namespace: empty, name: 'ecr-pull-secrets' } });
      assert.equal(
        await configuration(),
        `failed: no ConfigMap of an installation exists in namespace ${empty}`,
      );
      await remove(`${webhookPath}/zz-ecr-pull-secrets`);
    });

    it('has a warning if only a label says which it is', async () => {
      await remove(`/api/v1/namespaces/${operator}/configmaps/ecr-pull-secrets`);
      for (const kubeconfig of [cluster().kubeconfigPath, viewer]) {
        assert.equal(
          await configuration(kubeconfig),
          `warning: the configuration is valid (ConfigMap ${tenant}/ecr-pull-secrets); one setting differs from the defaults; it was found by its label only`,
        );
        const { notes } = await run('status', '--kubeconfig', kubeconfig);
        assert.equal(
          notes[0],
          `the configuration is that of ConfigMap ${tenant}/ecr-pull-secrets; it was found by its label only`,
        );
      }
    });

    it('is that of the usual namespace if the caller may not list webhook configurations', async () => {
      await expectCreated(cluster(), '/api/v1/namespaces', { metadata: { name: 'ecr-pull-secrets' } });
      await createConfigMap('ecr-pull-secrets', 'pulls', '');
      assert.equal(
        await configuration(viewer),
        'ok: the configuration is valid (ConfigMap ecr-pull-secrets/pulls), and all settings have their defaults',
      );
      const { notes } = await run('status', '--kubeconfig', viewer);
      assert.ok(!notes.some((note: string) => note.includes('ConfigMap')), notes.join('; '));
      await remove('/api/v1/namespaces/ecr-pull-secrets/configmaps/pulls');
    });

    it('is not chosen among very many, of which none is read', async () => {
      for (let index = 0; index < 12; index += 1) {
        await createConfigMap(tenant, `copy-${index}`, `# ${'x'.repeat(900_000)}`);
      }
      await assert.rejects(
        examine(),
        /several installations \(ConfigMaps a-tenant\S*\/copy-0, .+ and more\); select one with --install-namespace/,
      );
    });
  },
  { ownApiServer: true },
);
