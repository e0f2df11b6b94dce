import assert from 'node:assert/strict';
import { after, afterEach, before, it } from 'node:test';
import { stringify } from 'yaml';
import { openCertificates } from '../../src/certificates/source.ts';
import { readConfig } from '../../src/config/read.ts';
import { loadKubeConfig } from '../../src/kube/config.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import { freePort } from '../cluster/server-process.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/process.ts';
import { startBeside } from './beside.ts';
import type { Values } from './helm.ts';
import { registry } from './modes.ts';
import { at } from './objects.ts';
import { newRelease, type Release } from './release.ts';
import { clusterRole, type LentRole, refusal, role, roleAt } from './roles.ts';
import { describeChartOnCluster } from './suite.ts';

const configuration =
  '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets';

/** The webhook is called by its Service here: one that leads to this machine, since there is no node. */
describeChartOnCluster(
  'the chart as it is without values, certificates and Service included',
  (cluster, helm) => {
    let ecr: EcrDouble;
    let release: Release;
    let program: RunningProgram | undefined;
    let values: Values;
    before(async () => {
      ecr = await startEcrDouble();
      release = await newRelease(cluster(), helm());
      const port = await freePort();
      values = { service: { port }, config: { webhook: { port } } };
      await release.install(values);
      const service = `/api/v1/namespaces/${release.namespace}/services/ecr-pull-secrets`;
      assert.equal((await cluster().request('DELETE', service)).status, 200);
      const { status } = await cluster().request('POST', service.replace(/\/[^/]+$/, ''), {
        metadata: { name: 'ecr-pull-secrets' },
        spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
      });
      assert.equal(status, 201);
    });
    afterEach(async () => {
      await program?.stop();
      program = undefined;
    });
    after(async () => {
      await release?.uninstall();
      await ecr.stop();
    });

    /** A pod knows its namespace; a kubeconfig of the tests does not. */
    const settings = async () => {
      const { certificates } = await release.configFile();
      return { certificates: { ...Object(certificates), namespace: release.namespace } };
    };
    const start = async () => {
      program = await startBeside(release, ecr, { config: await settings() });
      return program;
    };
    const caBundle = async (): Promise<unknown> =>
      at((await cluster().request('GET', configuration)).body, 'webhooks.0.clientConfig.caBundle');
    const injected = async (image: string) => {
      const namespace = await cluster().createNamespace();
      await eventually('a pod is injected', async () => {
        return (await createPod(cluster(), namespace, podWith([image]))).pullSecrets.length > 0;
      });
    };

    it('injects the first pods as soon as the program has made its certificate and told the API server', async () => {
      assert.equal(await caBundle(), undefined);
      const running = await start();
      await injected(`${registry}/app:1`);
      const refused = running
        .output()
        .split('\n')
        .filter((line) => /"code":"forbidden"/.test(line) && !line.includes('"debug"'));
      assert.deepEqual(refused, []);
    });

    it('goes on with the same CA after an upgrade and a restart', async () => {
      const before = await caBundle();
      assert.ok(before);
      // the ports of the Service are contended for: the test has made it
      await release.upgrade({ ...values, webhook: { timeoutSeconds: 4 } }, ['--force-conflicts']);
      assert.equal(await caBundle(), before);
      await start();
      await injected(`${registry}/app:2`);
      assert.equal(await caBundle(), before);
    });

    /** Opens the certificates as the program does, while a right is missing; gives what is logged until it is back. */
    const lacking = async (lent: LentRole, verb: string, resource: string, expected: RegExp) => {
      const cluster = loadKubeConfig({
        kubeconfigPath: await release.kubeconfig(),
        requestTimeoutMs: 10_000,
        userAgent: 'test',
      });
      const { certificates } = await settings();
      const config = readConfig(stringify({ certificates }), 'the ConfigMap');
      let written = '';
      const log = jsonLog('info', { write: (text) => (written += text) });
      await lent.read();
      await lent.without(verb, resource);
      const opening = openCertificates({ config, cluster, onChange: () => undefined, log });
      try {
        await eventually(`the log says ${expected}`, () => expected.test(written));
      } finally {
        await lent.restore();
        await (await opening).close();
        await cluster.close();
      }
    };
    const anew = () =>
      cluster().request('DELETE', `/api/v1/namespaces/${release.namespace}/secrets/ecr-pull-secrets-tls`);
    const roleOf = (path: string) => roleAt((...call) => cluster().request(...call), path);

    for (const verb of ['get', 'list', 'watch', 'create', 'patch']) {
      it(`needs the right to ${verb} the Secret of its certificate, and says so`, async () => {
        await anew();
        const lent = roleOf(role(release.namespace, 'ecr-pull-secrets-tls'));
        await lacking(lent, verb, 'secrets', refusal(verb, 'secrets'));
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
        await lacking(roleOf(clusterRole), verb, 'mutatingwebhookconfigurations', expected);
      });
    }
  },
);
