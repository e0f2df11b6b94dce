// Tests of managed certificates with the chart's objects and permissions, on a real API server.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { openCertificateSource } from '../../src/certificates/certificate-source.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { createRequest, type Request } from '../cluster/kube-request.ts';
import { findFreePort } from '../cluster/server-process.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { controllerName, mountCertificate, startController } from './certificate-controller.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import { startLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';
import {
  certificatesClusterRole,
  clusterRole,
  forbiddenPattern,
  openTemporaryRole,
  role,
  type TemporaryRole,
} from './roles.ts';

const configurations = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const configuration = `${configurations}/zz-ecr-pull-secrets`;

/** Installs a release whose Service resolves to this machine, because there are no nodes. */
async function installWithService(cluster: Cluster, release: Release, values: Values): Promise<Values> {
  const port = await findFreePort();
  const all = { ...values, service: { port }, webhook: { port } };
  await release.install(all);
  const service = `/api/v1/namespaces/${release.namespace}/services/ecr-pull-secrets`;
  assert.equal((await cluster.request('DELETE', service)).status, 200);
  const { status } = await cluster.request('POST', service.replace(/\/[^/]+$/, ''), {
    metadata: { name: 'ecr-pull-secrets' },
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
  });
  assert.equal(status, 201);
  return all;
}

const caBundleIn = async (cluster: Cluster): Promise<unknown> =>
  getValueAt((await cluster.request('GET', configuration)).body, 'webhooks.0.clientConfig.caBundle');

const deleteCertificate = (cluster: Cluster, release: Release) =>
  cluster.request('DELETE', `/api/v1/namespaces/${release.namespace}/secrets/ecr-pull-secrets-tls`);

async function untilInjected(cluster: Cluster, image: string): Promise<void> {
  const namespace = await cluster.createNamespace();
  await eventually('a pod is injected', async () => {
    return (await createPod(cluster, namespace, podWith([image]))).pullSecrets.length > 0;
  });
}

/** The certificate settings with the namespace, which a pod knows but the tests' kubeconfig does not contain. */
async function certificateSettings(release: Release) {
  const { certificates } = await release.configFile();
  return { ...Object(certificates), namespace: release.namespace };
}

/** Log lines at `info` and above that report a missing permission. */
function findRefusals(output: string): string[] {
  return output.split('\n').filter((line) => /"code":"forbidden"/.test(line) && !line.includes('"debug"'));
}

describeChartOnCluster(
  'the chart with default values, including certificates and Service',
  (cluster, helm) => {
    let ecr: EcrDouble;
    let release: Release;
    let values: Values;
    before(async () => {
      ecr = await startEcrDouble();
      release = await createRelease(cluster(), helm());
      values = await installWithService(cluster(), release, {});
    });
    after(async () => {
      await release?.uninstall();
      await ecr.stop();
    });

    /** Runs the processes of the release's pods on this machine. */
    const run = async () => {
      const controller = await startController(cluster(), release);
      const mount = await mountCertificate(cluster(), release);
      const { webhook } = await release.configFile();
      const { certFile, keyFile } = mount;
      const program = await startLocalProgram(release, ecr, {
        config: { webhook: { ...Object(webhook), certFile, keyFile } },
      });
      const stop = async () => {
        await program.stop();
        await mount.stop();
        return await controller.stop();
      };
      return { controller, program, stop };
    };

    it('injects the first pods as soon as the controller has issued the certificate and published its CA', async () => {
      assert.equal(await caBundleIn(cluster()), undefined);
      const { controller, program, stop } = await run();
      await untilInjected(cluster(), `${registry}/app:1`);
      await eventually(
        'the controller is ready',
        async () => (await fetch(`${controller.statusUrl}/readyz`)).ok,
      );
      assert.equal((await fetch(`${controller.statusUrl}/metrics`)).status, 404);
      const { code, output } = await stop();
      assert.equal(code, 0);
      assert.deepEqual(findRefusals(output + program.output()), []);
      assert.ok(!output.includes('PRIVATE KEY'));
    });

    it('goes on with the same CA after an upgrade and a restart, and without the controller', async () => {
      const before = await caBundleIn(cluster());
      assert.ok(before);
      // The ports of the Service conflict, because the test created it.
      const webhook = { ...Object(values['webhook']), timeoutSeconds: 4 };
      await release.upgrade({ ...values, webhook }, ['--force-conflicts']);
      assert.equal(await caBundleIn(cluster()), before);
      const { controller, program, stop } = await run();
      await untilInjected(cluster(), `${registry}/app:2`);
      await controller.stop();
      await untilInjected(cluster(), `${registry}/app:3`);
      assert.equal(await caBundleIn(cluster()), before);
      assert.ok(program.pid);
      await stop();
    });

    it('changes to a new CA when the Secret is deleted, while every pod is injected', async () => {
      const { controller, program, stop } = await run();
      await untilInjected(cluster(), `${registry}/app:4`);
      await eventually(
        'the controller is ready',
        async () => (await fetch(`${controller.statusUrl}/readyz`)).ok,
      );
      const before = await caBundleIn(cluster());
      assert.equal((await deleteCertificate(cluster(), release)).status, 200);
      const namespace = await cluster().createNamespace();
      const renewed = () => program.log().some(({ msg }) => msg === 'serving with a new certificate');
      await eventually(
        'the program serves a certificate of the new CA',
        async () => {
          const done = renewed();
          const { pullSecrets } = await createPod(cluster(), namespace, podWith([`${registry}/app:5`]));
          assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
          return done;
        },
        60_000,
      );
      assert.notEqual(await caBundleIn(cluster()), before);
      await stop();
    });

    describe('the two ServiceAccounts', () => {
      let serving: Request;
      let controller: Request;
      before(async () => {
        serving = createRequest(await release.kubeconfig());
        controller = createRequest(
          await cluster().serviceAccountKubeconfig(release.namespace, controllerName),
        );
        await untilSecretExists();
      });
      const tls = () => `/api/v1/namespaces/${release.namespace}/secrets/ecr-pull-secrets-tls`;
      const untilSecretExists = () =>
        eventually('the Secret exists', async () => (await cluster().request('GET', tls())).status === 200);
      const elsewhere = {
        webhooks: [{ name: 'pods.ecr-pull-secrets.io', clientConfig: { url: 'https://x' } }],
      };
      const applied = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'ecr-pull-secrets-tls' } };
      const cases: [string, () => Request, string, () => string, unknown?, string?][] = [
        ['serving: read the certificate and its CA key', () => serving, 'GET', tls],
        [
          'serving: change the certificate',
          () => serving,
          'PATCH',
          () => `${tls()}?fieldManager=x&force=true`,
          applied,
          'application/apply-patch+yaml',
        ],
        ['serving: read the webhook configuration', () => serving, 'GET', () => configuration],
        ['serving: point the webhook elsewhere', () => serving, 'PATCH', () => configuration, elsewhere],
        ['serving: delete the webhook', () => serving, 'DELETE', () => configuration],
        [
          'serving: create a webhook',
          () => serving,
          'POST',
          () => configurations,
          { metadata: { name: 'x' } },
        ],
        ['certificates: list webhooks', () => controller, 'GET', () => configurations],
        [
          'certificates: change another webhook',
          () => controller,
          'PATCH',
          () => `${configurations}/other`,
          elsewhere,
        ],
        ['certificates: delete its webhook', () => controller, 'DELETE', () => configuration],
        [
          'certificates: read a pull Secret',
          () => controller,
          'GET',
          () => '/api/v1/namespaces/default/secrets/ecr-pull-secrets',
        ],
        ['certificates: list Secrets', () => controller, 'GET', () => '/api/v1/secrets'],
        [
          'certificates: create a certificate in another namespace',
          () => controller,
          'PATCH',
          () => '/api/v1/namespaces/default/secrets/ecr-pull-secrets-tls?fieldManager=x',
          applied,
          'application/apply-patch+yaml',
        ],
      ];
      for (const [what, who, method, path, body, type] of cases) {
        it(`may not ${what}`, async () => {
          const contentType =
            type ?? (method === 'PATCH' ? 'application/strategic-merge-patch+json' : 'application/json');
          const response = await who()(method, path(), body, { contentType });
          assert.equal(response.status, 403, JSON.stringify(response.body));
        });
      }
    });

    certificatePermissionsSuite(cluster, () => release, {
      account: controllerName,
      clusterRole: certificatesClusterRole,
    });
  },
);

describeChartOnCluster('one ServiceAccount for admission requests and certificates', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    const managed = { controller: { enabled: false } };
    await installWithService(cluster(), release, { certificates: { managed } });
  });
  after(async () => {
    await release?.uninstall();
    await ecr.stop();
  });

  it('injects the first pods as soon as the program has issued its certificate and published its CA', async () => {
    assert.equal(await caBundleIn(cluster()), undefined);
    const certificates = await certificateSettings(release);
    const program: RunningProgram = await startLocalProgram(release, ecr, { config: { certificates } });
    await untilInjected(cluster(), `${registry}/app:1`);
    await program.stop();
    assert.deepEqual(findRefusals(program.output()), []);
  });

  certificatePermissionsSuite(cluster, () => release, { account: 'ecr-pull-secrets', clusterRole });
});

/** Tests that the ServiceAccount that manages certificates needs each permission on Secret and webhook configuration. */
function certificatePermissionsSuite(
  cluster: () => Cluster,
  release: () => Release,
  managing: { readonly account: string; readonly clusterRole: string },
): void {
  describe(`permissions of the ServiceAccount ${managing.account}`, () => {
    /** Opens the certificates as the program does while a permission is missing, until the log reports it. */
    const expectReport = async (
      temporaryRole: TemporaryRole,
      verb: string,
      resource: string,
      expected: RegExp,
    ) => {
      const kubeconfigPath = await cluster().serviceAccountKubeconfig(release().namespace, managing.account);
      const client = loadKubeConfig({
        kubeconfigPath,
        requestTimeoutMs: 10_000,
        userAgent: 'test',
      });
      const certificates = { ...(await certificateSettings(release())), source: 'managed' };
      const config = readConfig(stringify({ certificates }), 'the ConfigMap');
      let written = '';
      const log = createJsonLog('info', { write: (text) => (written += text) });
      await temporaryRole.read();
      await temporaryRole.without(verb, resource);
      const opening = openCertificateSource({ config, cluster: client, onChange: () => undefined, log });
      try {
        await eventually(`the log says ${expected}`, () => expected.test(written));
      } finally {
        await temporaryRole.restore();
        await (await opening).close();
        await client.close();
      }
    };
    const startFromScratch = () => deleteCertificate(cluster(), release());
    const roleOf = (path: string) => openTemporaryRole((...call) => cluster().request(...call), path);

    for (const verb of ['get', 'list', 'watch', 'create', 'patch']) {
      it(`needs permission to ${verb} the Secret of its certificate, and reports if it is missing`, async () => {
        await startFromScratch();
        const temporaryRole = roleOf(role(release().namespace, 'ecr-pull-secrets-tls'));
        await expectReport(temporaryRole, verb, 'secrets', forbiddenPattern(verb, 'secrets'));
      });
    }

    for (const [verb, word] of [
      ['get', 'read'],
      ['list', 'list'],
      ['watch', 'watch'],
      ['patch', 'patch'],
    ] as const) {
      it(`needs permission to ${verb} its webhook configuration, and reports if it is missing`, async () => {
        // The new CA has to be published.
        await startFromScratch();
        const expected = new RegExp(
          `cannot ${word} MutatingWebhookConfiguration zz-ecr-pull-secrets .forbidden`,
        );
        await expectReport(roleOf(managing.clusterRole), verb, 'mutatingwebhookconfigurations', expected);
      });
    }
  });
}
