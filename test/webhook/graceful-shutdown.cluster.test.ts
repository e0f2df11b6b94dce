// Tests that a shutdown waits until the hosts of admitted pods are stored.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { send } from '../cluster/kube-request.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount } from '../support/installation.ts';
import { podWith } from '../support/pods.ts';
import { startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { buildPodReview } from './admission-reviews.ts';

const host = hostIn('eu-central-1');

describeOnCluster('a program that is shut down', (cluster) => {
  it('stores the host of a pod that was admitted while its token was still being fetched', async (t) => {
    const ecr = await startEcrDouble();
    const program = await startProgram({
      kubeconfigPath: await installServiceAccount(cluster()),
      environment: ecr.env(),
    });
    t.after(async () => {
      await program.stop();
      await ecr.stop();
    });
    const namespace = await cluster().createNamespace();
    const gate = ecr.hold();
    const review = buildPodReview(podWith([`${host}/app`]), { namespace });
    // The response is sent after half of this timeout; the program waits longer for the token.
    const { status } = await send(
      `${program.webhookUrl}?timeout=1s`,
      { method: 'POST', ca: program.caPem },
      review,
    );
    assert.equal(status, 200);
    await eventually('the token is being fetched', () => gate.waiting > 0, 30_000);
    program.signal('SIGTERM');
    assert.equal(await program.exited, 0, program.output());
    assert.ok(host in ((await readPullSecret(cluster(), namespace))?.hosts ?? {}));
    gate.open();
  });
});
