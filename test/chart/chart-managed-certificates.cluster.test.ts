import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { openCertificateSource } from '../../src/certificates/certificate-source.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { createRequest, type Request } from '../cluster/kube-request.ts';
import { freePort } from '../cluster/server-process.ts';
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

/** A release whose webhook is called by its Service: one that leads to this machine, since there is no node. */
async function installWithService(cluster: Cluster, release: Release, values: Values): Promise<Values> {
  const port = await freePort();
  const all = { ...values, service: { port }, config: { webhook: { port } } };
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

/** A pod knows its namespace; a kubeconfig of the tests does not. */
async function certificateSettings(release: Release) {
  const { certificates } = await release.configFile();
  return { ...Object(certificates), namespace: release.namespace };
}

/** Lines at `info` and above that tell of a missing right. */
function findRefusals(output: string): string[] {
  return output.split('\n').filter((line) => /"code":"forbidden"/.test(line) && !line.includes('"debug"'));
}

describeChartOnCluster(
  'the chart as it is without values, certificates and Service included',
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

    /** Runs the pods of the release as far as there can be any. */
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

    it('injects the first pods as soon as the controller has made the certificate and published its CA', async () => {
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

    it('goes on with the same CA after an upgrade and a restart, and with the controller away', async () => {
      const before = await caBundleIn(cluster());
      assert.ok(before);
      // the ports of the Service are contended for: the test has made it
      await release.upgrade({ ...values, webhook: { timeoutSeconds: 4 } }, ['--force-conflicts']);
      assert.equal(await caBundleIn(cluster()), before);
      const { controller, program, stop } = await run();
      await untilInjected(cluster(), `${registry}/app:2`);
      await controller.stop();
      await untilInjected(cluster(), `${registry}/app:3`);
      assert.equal(await caBundleIn(cluster()), before);
      assert.ok(program.pid);
      await stop();
    });

    it('changes to a new CA when the Secret is deleted, without one pod that is not injected', async () => {
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

    describe('the two accounts', () => {
      let serving: Request;
      let controller: Request;
      before(async () => {
        serving = createRequest(await release.kubeconfig());
        controller = createRequest(
          await cluster().serviceAccountKubeconfig(release.namespace, controllerName),
        );
        await untilSecretIsThere();
      });
      const tls = () => `/api/v1/namespaces/${release.namespace}/secrets/ecr-pull-secrets-tls`;
      const untilSecretIsThere = () =>
        eventually('the Secret is there', async () => (await cluster().request('GET', tls())).status === 200);
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
        ['serving: see the webhook configuration', () => serving, 'GET', () => configuration],
        ['serving: point the webhook elsewhere', () => serving, 'PATCH', () => configuration, elsewhere],
        ['serving: delete the webhook', () => serving, 'DELETE', () => configuration],
        ['serving: make a webhook', () => serving, 'POST', () => configurations, { metadata: { name: 'x' } }],
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
          'certificates: make a certificate elsewhere',
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
          const answer = await who()(method, path(), body, { contentType });
          assert.equal(answer.status, 403, JSON.stringify(answer.body));
        });
      }
    });

    certificateRights(cluster, () => release, {
      account: controllerName,
      clusterRole: certificatesClusterRole,
    });
  },
);

describeChartOnCluster('one account for reviews and certificates', (cluster, helm) => {
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

  it('injects the first pods as soon as the program has made its certificate and published its CA', async () => {
    assert.equal(await caBundleIn(cluster()), undefined);
    const certificates = await certificateSettings(release);
    const program: RunningProgram = await startLocalProgram(release, ecr, { config: { certificates } });
    await untilInjected(cluster(), `${registry}/app:1`);
    await program.stop();
    assert.deepEqual(findRefusals(program.output()), []);
  });

  certificateRights(cluster, () => release, { account: 'ecr-pull-secrets', clusterRole });
});

/** Every right on Secret and webhook configuration is needed by the account that manages them. */
function certificateRights(
  cluster: () => Cluster,
  release: () => Release,
  managing: { readonly account: string; readonly clusterRole: string },
): void {
  describe(`rights of the account ${managing.account}`, () => {
    /** Opens the certificates as the program does, while a right is missing; gives what is logged until it is back. */
    const lacking = async (lent: TemporaryRole, verb: string, resource: string, expected: RegExp) => {
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
      await lent.read();
      await lent.without(verb, resource);
      const opening = openCertificateSource({ config, cluster: client, onChange: () => undefined, log });
      try {
        await eventually(`the log says ${expected}`, () => expected.test(written));
      } finally {
        await lent.restore();
        await (await opening).close();
        await client.close();
      }
    };
    const anew = () => deleteCertificate(cluster(), release());
    const roleOf = (path: string) => openTemporaryRole((...call) => cluster().request(...call), path);

    for (const verb of ['get', 'list', 'watch', 'create', 'patch']) {
      it(`needs the right to ${verb} the Secret of its certificate, and says so`, async () => {
        await anew();
        const lent = roleOf(role(release().namespace, 'ecr-pull-secrets-tls'));
        await lacking(lent, verb, 'secrets', forbiddenPattern(verb, 'secrets'));
      });
    }

    for (const [verb, word] of [
      ['get', 'read'],
      ['list', 'list'],
      ['watch', 'watch'],
      ['patch', 'patch'],
    ] as const) {
      it(`needs the right to ${verb} its webhook configuration, and says so`, async () => {
        // a new CA, which has to be told
        await anew();
        const expected = new RegExp(
          `cannot ${word} MutatingWebhookConfiguration zz-ecr-pull-secrets .forbidden`,
        );
        await lacking(roleOf(managing.clusterRole), verb, 'mutatingwebhookconfigurations', expected);
      });
    }
  });
}
