// Tests that the chart can be installed, upgraded and deleted by Helm, Argo CD, Flux and kubectl, on a real API server with the
// garbage collector of Kubernetes: nothing drifts, nothing hangs, and only pull Secrets remain.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startController } from '../chart/certificate-controller.ts';
import { describeChartOnCluster } from '../chart/chart-suite.ts';
import { chartFolder, obtainKubectl, type Values } from '../chart/helm.ts';
import { getApiVersions, registry } from '../chart/install-modes.ts';
import { difference, listAllObjects } from '../chart/inventory.ts';
import { createRelease, type Release } from '../chart/release.ts';
import { getValueAt } from '../chart/rendered-objects.ts';
import { eventually } from '../support/eventually.ts';
import { secretsPath } from '../support/pull-secret.ts';
import { declareUnless } from '../support/required-tools.ts';
import { runProgram } from '../support/run-program.ts';
import {
  findGitopsObstacle,
  type GitopsCommand,
  gitopsUnavailableVariable,
  runGitops,
  startGarbageCollector,
} from './gitops-program.ts';

const obstacle = process.env[gitopsUnavailableVariable] ?? findGitopsObstacle(process.env);
const webhookPath = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets';
const merged = { contentType: 'application/merge-patch+json' };

/** Values that render as many kinds of objects as possible. */
const everything: Values = {
  networkPolicy: { enabled: true },
  autoscaling: { enabled: true },
  cronJob: { enabled: true, besideDeployment: true },
  config: {
    provisioning: { registries: [registry] },
    catchUp: { evict: true },
    registries: [{ namespaces: { names: ['payments'] }, webIdentity: { serviceAccount: 'ecr-pull' } }],
  },
  commonLabels: { 'example.com/team': 'platform' },
  secretLabels: { 'example.com/team': 'platform' },
};

/** What a tool does with the rendered manifests. */
interface Tool {
  readonly name: string;
  /** Whether it renders the chart with the pods of `helm test`, because it passes all kinds of the cluster. */
  readonly rendersTests?: boolean;
  /** Whether `apply` does not correct what another client changed. */
  readonly ignoresDrift?: boolean;
  /** Installs or upgrades. */
  apply(manifests: string, values: Values): Promise<void>;
  /** What differs from the manifests, as text; empty if nothing does. */
  diff(manifests: string): Promise<readonly string[]>;
  /** Deletes what was applied. */
  remove(manifests: string): Promise<void>;
}

declareUnless(obstacle, 'GitOps tools', declareSuite);

function declareSuite(): void {
  describeChartOnCluster(
    'GitOps tools',
    (cluster, helm) => {
      let folder: string;
      let collector: { stop(): Promise<void> };
      let release: Release;
      let kubectlProgram: string;
      before(async () => {
        folder = await mkdtemp(join(tmpdir(), 'gitops-'));
        collector = await startGarbageCollector(cluster().kubeconfigPath);
        const program = await obtainKubectl();
        assert.ok(program);
        kubectlProgram = program;
      });
      after(async () => {
        await collector?.stop();
        await rm(folder, { recursive: true, force: true });
      });
      const get = (path: string) => cluster().request('GET', path);
      const secretPath = () => `${secretsPath(release.namespace)}/ecr-pull-secrets-tls`;

      /** Renders the chart into a file, as each tool does before it applies it. */
      const render = async (values: Values, { rendersTests = false }: Partial<Tool> = {}) => {
        const { version } = cluster();
        const args = ['template', release.name, chartFolder, '--namespace', release.namespace];
        const versions = getApiVersions(version)
          .filter((one) => rendersTests || one !== 'v1/Pod')
          .flatMap((one) => ['--api-versions', one]);
        const { code, stdout, stderr } = await helm().run(
          [...args, '--kube-version', version, ...versions],
          values,
        );
        assert.equal(code, 0, stderr);
        const file = join(folder, `${release.namespace}.yaml`);
        await writeFile(file, stdout);
        return file;
      };
      const kubectl = (...args: readonly string[]) =>
        runProgram(kubectlProgram, [...args, '--namespace', release.namespace], {
          env: { PATH: process.env['PATH'], HOME: folder, KUBECONFIG: cluster().kubeconfigPath },
          timeout: 120_000,
        });
      const kubectlOrFail = async (...args: readonly string[]) => {
        const { code, stdout, stderr } = await kubectl(...args);
        assert.equal(code, 0, stderr);
        return stdout;
      };
      const kubectlDiff = async (manifests: string) => {
        const { code, stdout, stderr } = await kubectl('diff', '-f', manifests);
        assert.ok(code === 0 || code === 1, stderr);
        return code === 0 ? [] : stdout.split('\n');
      };
      const gitops = (command: GitopsCommand, manifests?: string) =>
        runGitops(command, cluster().kubeconfigPath, release.namespace, manifests);

      const tools: readonly Tool[] = [
        {
          name: 'Argo CD',
          rendersTests: true,
          apply: async (manifests) => {
            const results = await gitops('argo-sync', manifests);
            assert.ok(results.length > 0);
            assert.deepEqual(
              results.filter((line) => !/: (Synced|Pruned) /.test(line)),
              [],
            );
          },
          diff: (manifests) => gitops('argo-diff', manifests),
          remove: async () => {
            assert.ok((await gitops('argo-delete')).length > 0);
          },
        },
        {
          name: 'Flux, as a Kustomization,',
          apply: async (manifests) => {
            await gitops('flux-apply', manifests);
          },
          diff: (manifests) => gitops('flux-diff', manifests),
          remove: async (manifests) => {
            assert.ok((await gitops('flux-delete', manifests)).length > 0);
          },
        },
        {
          name: 'Helm, and Flux as a HelmRelease with drift detection,',
          ignoresDrift: true,
          apply: async (_manifests, values) => {
            const { code, stderr } = await helm().run(
              ['upgrade', '--install', release.name, chartFolder, '--namespace', release.namespace],
              values,
              cluster().kubeconfigPath,
            );
            assert.equal(code, 0, stderr);
          },
          diff: (manifests) => gitops('helm-diff', manifests),
          remove: () => release.uninstall(),
        },
        {
          name: 'kubectl',
          apply: async (manifests) => {
            await kubectlOrFail('apply', '-f', manifests);
          },
          diff: kubectlDiff,
          remove: async (manifests) => {
            await kubectlOrFail('delete', '-f', manifests);
          },
        },
      ];

      const readCaBundle = async () => {
        const { status, body } = await get(webhookPath);
        return status === 200 ? getValueAt(body, 'webhooks')[0].clientConfig.caBundle : undefined;
      };
      /** Runs the certificate controller until it has stored the certificate and published its CA. */
      const manageCertificates = async () => {
        const controller = await startController(cluster(), release);
        try {
          await eventually('the CA is published', async () => (await readCaBundle()) !== undefined, 60_000);
          assert.equal((await get(secretPath())).status, 200);
        } finally {
          await controller.stop();
        }
      };

      /** The kind, name and resourceVersion of each rendered object. */
      const readVersions = async () => {
        const plain = await render(everything);
        const path = '{range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{"\\n"}{end}';
        return (await kubectlOrFail('get', '-f', plain, '-o', `jsonpath=${path}`)).split('\n');
      };
      const changeWebhook = async (change: (webhook: object) => object) => {
        const [webhook] = getValueAt((await get(webhookPath)).body, 'webhooks');
        const patch = { webhooks: [change(webhook)] };
        assert.equal((await cluster().request('PATCH', webhookPath, patch, merged)).status, 200);
      };

      for (const tool of tools) {
        describe(tool.name, () => {
          let inventory: Awaited<ReturnType<typeof listAllObjects>>;
          before(async () => {
            release = await createRelease(cluster(), helm());
            inventory = await listAllObjects(cluster().request);
          });
          const next: Values = { ...everything, replicaCount: 3, webhook: { timeoutSeconds: 7 } };

          it('sees no difference after the installation, nor after the program has stored its certificate', async () => {
            const manifests = await render(everything, tool);
            await tool.apply(manifests, everything);
            assert.deepEqual(await tool.diff(manifests), []);
            await manageCertificates();
            assert.deepEqual(await tool.diff(manifests), []);
            const before = await readVersions();
            await tool.apply(manifests, everything);
            assert.deepEqual(await readVersions(), before, 'the second time changes nothing');
            assert.deepEqual(await tool.diff(manifests), []);
          });

          it('upgrades, and keeps the CA of the webhook', async () => {
            const caBundle = await readCaBundle();
            const manifests = await render(next, tool);
            assert.match((await tool.diff(manifests)).join('\n'), /timeoutSeconds/);
            await tool.apply(manifests, next);
            assert.deepEqual(await tool.diff(manifests), []);
            const { body } = await get(webhookPath);
            assert.equal(getValueAt(body, 'webhooks')[0].timeoutSeconds, 7);
            assert.equal(await readCaBundle(), caBundle);
          });

          it('sees and corrects what another client changed', async () => {
            const manifests = await render(next, tool);
            await changeWebhook((webhook) => ({ ...webhook, failurePolicy: 'Fail' }));
            assert.match((await tool.diff(manifests)).join('\n'), /failurePolicy/);
            if (tool.ignoresDrift) {
              await changeWebhook((webhook) => ({ ...webhook, failurePolicy: 'Ignore' }));
            } else {
              await tool.apply(manifests, next);
            }
            assert.equal(getValueAt((await get(webhookPath)).body, 'webhooks')[0].failurePolicy, 'Ignore');
            assert.deepEqual(await tool.diff(manifests), []);
          });

          it('conflicts with no other manager that applies the same manifests', async () => {
            const manifests = await render(next);
            await kubectlOrFail(
              ...['apply', '--server-side', '--field-manager=another', '--dry-run=server', '-f', manifests],
            );
          });

          it('deletes everything but pull Secrets, also the Secret with the key of the CA', async () => {
            const manifests = await render(next, tool);
            const namespace = await cluster().createNamespace();
            const pullSecret = {
              metadata: {
                name: 'ecr-pull-secrets',
                labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' },
              },
              type: 'kubernetes.io/dockerconfigjson',
              data: { '.dockerconfigjson': btoa('{"auths":{}}') },
            };
            assert.equal((await cluster().request('POST', secretsPath(namespace), pullSecret)).status, 201);
            await tool.remove(manifests);
            await eventually(
              'the Secret with the key of the CA is gone',
              async () => (await get(secretPath())).status === 404,
              60_000,
            );
            const left = difference(await listAllObjects(cluster().request), inventory);
            assert.deepEqual(
              left.filter((name) => !name.includes(namespace)),
              [],
            );
            assert.equal((await get(`${secretsPath(namespace)}/ecr-pull-secrets`)).status, 200);
          });
        });
      }
    },
    { ownApiServer: true },
  );
}
