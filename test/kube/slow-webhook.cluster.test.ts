// Tests that a webhook that never responds delays only the Secrets of its namespace, on a real API server.
import assert from 'node:assert/strict';
import { after, afterEach, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { createLabelledNamespace } from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { type SilentWebhook, startSilentWebhook } from '../support/silent-webhook.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

/** Longer than the webhook's 10 s, and the retries of a program that aborts too early. */
const maxWaitMs = 90_000;

describeOnCluster('a webhook for Secrets that fails open and never responds', (cluster) => {
  let ecr: EcrDouble;
  let webhook: SilentWebhook | undefined;
  let program: RunningProgram | undefined;
  before(async () => {
    ecr = await startEcrDouble({ tokenLifetimeMs: 40_000 });
  });
  afterEach(async () => {
    await program?.stop();
    await webhook?.stop();
  });
  after(() => ecr.stop());

  /** Starts the program, and the webhook for namespaces with the label `webhook: TEAM`. */
  const start = async (team: string, timeoutSeconds: number) => {
    webhook = await startSilentWebhook(cluster(), { label: ['webhook', team], timeoutSeconds });
    program = await startProgram({
      kubeconfigPath: cluster().kubeconfigPath,
      environment: ecr.env(),
      config: {
        provisioning: { registries: [host], namespaces: { selector: `team=${team}` } },
        tokens: { minimumLife: '1s' },
      },
    });
    return { webhook, program };
  };
  const authIn = async (namespace: string) => (await readPullSecret(cluster(), namespace))?.auths[host]?.auth;

  it('delays the Secret of its namespace, which is created and renewed nevertheless', async () => {
    const { program } = await start('ten', 10);
    const namespace = await createLabelledNamespace(cluster(), { webhook: 'ten', team: 'ten' });
    const first = await eventually('the Secret is created', () => authIn(namespace), maxWaitMs);
    const renewed = async () => (await authIn(namespace)) !== first;
    await eventually('the token is renewed', renewed, maxWaitMs);
    assert.doesNotMatch(program.output(), /\(timeout\)/, 'no write was given up');
  });

  it('delays no other namespace, but the shutdown of the program until its writes are complete', async () => {
    // Kubernetes allows no longer timeout for a webhook.
    const { program, webhook } = await start('thirty', 30);
    const slow = await Promise.all(
      Array.from({ length: 6 }, () =>
        createLabelledNamespace(cluster(), { webhook: 'thirty', team: 'thirty' }),
      ),
    );
    await eventually('the writes are in flight', () => webhook.received >= slow.length, 20_000);
    const quick = await createLabelledNamespace(cluster(), { team: 'thirty' });
    await eventually('the Secret of another namespace', () => authIn(quick), 20_000);
    assert.deepEqual(
      await Promise.all(slow.map(authIn)),
      slow.map(() => undefined),
    );
    program.signal('SIGTERM');
    assert.equal(await program.exited, 0, program.output());
    for (const namespace of slow) {
      assert.ok(await authIn(namespace));
    }
  });
});
