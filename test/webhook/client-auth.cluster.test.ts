// Tests webhook.clientAuth with the client certificate of a real API server.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { issueTestCa, issueTestClientCertificate } from '../certificates/test-certificates.ts';
import { startCluster } from '../cluster/cluster.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { findFreePort } from '../cluster/server-process.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';

describeOnCluster(
  'webhook.clientAuth on a real API server',
  (other) => {
    it('accepts an API server with a client certificate, and refuses one without', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'client-auth-'));
      const clients = await issueTestCa(Date.now());
      const caFile = join(folder, 'ca.crt');
      await writeFile(caFile, clients.certPem);
      const port = await findFreePort();
      const webhookUser = {
        name: `127.0.0.1:${port}`,
        ...issueTestClientCertificate(clients, 'kube-apiserver'),
      };
      const cluster = await startCluster({ webhookUser });
      const ecr = await startEcrDouble();
      after(async () => {
        await Promise.all([cluster.stop(), ecr.stop(), rm(folder, { recursive: true })]);
      });
      const program = await startProgram({
        kubeconfigPath: await installServiceAccount(cluster),
        environment: ecr.env(),
        config: { webhook: { port, clientAuth: { caFile, allowedNames: ['kube-*'] } } },
      });
      after(() => program.stop());

      const webhook = await registerWebhook(cluster, program);
      const namespace = await webhook.createNamespace();
      const { status, pullSecrets, warnings } = await createPod(
        cluster,
        namespace,
        podWith([`${hostIn('eu-central-1')}/app`]),
      );
      assert.deepEqual([status, pullSecrets, warnings], [201, ['ecr-pull-secrets'], []]);

      // The call of an API server without a certificate fails, and the log says why.
      await assert.rejects(registerWebhook(other(), program));
      const refusal = await eventually('the refusal is logged', () =>
        program.log().find(({ code }) => code === 'no-client-certificate'),
      );
      assert.equal(refusal['level'], 'warn');
    });
  },
  { ownApiServer: true },
);
