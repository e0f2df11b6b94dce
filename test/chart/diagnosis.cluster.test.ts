// Tests status and doctor's groups of Secrets, pods and provisioning against the installed chart and the running program.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { createPodChecks } from '../../src/diagnosis/pod-checks.ts';
import { checkProvisioning } from '../../src/diagnosis/provisioning-checks.ts';
import { createSecretChecks } from '../../src/diagnosis/secret-checks.ts';
import { shareSurvey } from '../../src/diagnosis/secret-survey.ts';
import { runOnce } from '../commands/run-command.ts';
import { openTestInstallation } from '../diagnosis/stored-findings.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { createPod, podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { secretPath } from '../support/pull-secret.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { registry } from './install-modes.ts';
import { installWithLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';

describeChartOnCluster('the diagnosis of the installed chart', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  let namespace: string;
  let inside: string;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr);
    namespace = await cluster().createNamespace('shop');
    inside = await release.kubeconfig();
    await createPod(cluster(), namespace, podWith([`${registry}/cart:1`]));
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr?.stop();
  });

  it("finds nothing wrong with the program's own rights, and may write on a dry run inside the fence", async () => {
    const opened = openTestInstallation(inside, await release.configFile());
    const readSurvey = shareSurvey();
    const groups = [
      createSecretChecks(readSurvey, () => undefined),
      createPodChecks(readSurvey),
      checkProvisioning,
    ];
    const results = [];
    for (const group of groups) {
      results.push(...(await opened.run(group)));
    }
    await opened.close();
    const unusual = results.filter(([, { outcome }]) => outcome !== 'ok');
    assert.deepEqual(unusual, []);
    assert.ok(results.some(([check]) => check === 'secret-writable'));
  });

  it('may write where there is no Secret yet, and does not', async () => {
    const other = await cluster().createNamespace('new');
    const spec = { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] };
    await program.stop();
    await createPod(cluster(), other, podWith([`${registry}/cart:1`], spec));
    const opened = openTestInstallation(inside, await release.configFile());
    const found = await opened.run(createSecretChecks(shareSurvey(), () => undefined));
    await opened.close();
    assert.match(found.get('secret-writable')?.text ?? '', /dry run in 2 namespaces/);
    assert.equal((await cluster().request('GET', secretPath(other))).status, 404);
  });

  it('shows the status inside and outside, with what each may see', async () => {
    const show = async (kubeconfigPath: string, args: readonly string[] = []) => {
      const { stdout } = await runOnce(['status', '--output', 'json', ...args], kubeconfigPath);
      const { rows, notes } = JSON.parse(stdout);
      const row = rows.find((one: { namespace: string }) => one.namespace === namespace);
      return { state: row?.state, host: row?.host, pods: row?.pods, notes };
    };
    const expected = { state: 'valid', host: registry, pods: 1 };
    assert.deepEqual(await show(cluster().kubeconfigPath), { ...expected, notes: [] });
    const { notes, ...shown } = await show(inside);
    assert.deepEqual(shown, expected);
    assert.deepEqual(notes, ['there is no right to list events, so some errors are missing']);
  });
});
