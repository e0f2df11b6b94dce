// Tests that the program works again after outages of a real API server, without a restart.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { startFaultProxy } from '../doubles/fault-proxy.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret } from '../support/pull-secret.ts';

/** The API server stops and restarts, or its responses are errors, while the program runs. */
describeOnCluster(
  'outages of a real API server',
  (cluster) => {
    it('need no restart of the program: it synchronizes again, and injects', async () => {
      const ecr = await startEcrDouble();
      const kubeconfigPath = await installServiceAccount(cluster());
      const program = await startProgram({ kubeconfigPath, environment: ecr.env() });
      const webhook = await registerWebhook(cluster(), program);
      const namespace = await webhook.createNamespace();
      await createPod(cluster(), namespace, podWith([`${hostIn('eu-central-1')}/app`]));
      const before = await readPullSecret(cluster(), namespace);

      await cluster().apiServer?.kill();
      assert.equal((await fetch(`${program.statusUrl}/healthz`)).status, 200);
      await cluster().apiServer?.restart();
      await eventually('a pod with a new host is injected', async () => {
        const pod = podWith([`${hostIn('us-east-1')}/app`]);
        const { pullSecrets, warnings } = await createPod(cluster(), namespace, pod);
        return pullSecrets.length === 1 && warnings.length === 0;
      });
      const after = await readPullSecret(cluster(), namespace);
      assert.deepEqual(Object.keys(after?.auths ?? {}), [hostIn('eu-central-1'), hostIn('us-east-1')]);
      assert.equal(after?.uid, before?.uid);
      await eventually('the cache is in sync again', async () => /_in_sync 1/.test(await program.metrics()));
      await webhook.remove();
      await program.stop();
      await ecr.stop();
    });

    it('that affect only writes delay the Secret until after the outage, and not the pod', async () => {
      const ecr = await startEcrDouble();
      const account = await installServiceAccount(cluster());
      const proxy = await startFaultProxy(account);
      const program = await startProgram({
        kubeconfigPath: proxy.kubeconfig(account),
        environment: ecr.env(),
        config: { webhook: { deadlineMargin: '6s' } },
      });
      const webhook = await registerWebhook(cluster(), program);
      const namespace = await webhook.createNamespace();
      const host = hostIn('eu-central-1');
      proxy.status(500, (method) => method === 'PATCH');
      const { status, pullSecrets, warnings } = await createPod(
        cluster(),
        namespace,
        podWith([`${host}/app`]),
      );
      assert.deepEqual([status, pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', new RegExp(`^no pull token for ${host}: API server: server-error`));
      assert.equal(await readPullSecret(cluster(), namespace), undefined);
      await proxy.heal();
      await eventually(
        'the Secret exists, without another pod',
        async () => {
          return (await readPullSecret(cluster(), namespace))?.auths[host] !== undefined;
        },
        60_000,
      );
      await webhook.remove();
      await program.stop();
      await proxy.stop();
      await ecr.stop();
    });
  },
  { ownApiServer: true },
);
