// Tests serve, sync and uninstall as separate processes on a real API server: output streams, exit codes and signals.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import {
  createAccountWithRules,
  createLabelledNamespace,
  createServiceAccount,
  provisioningRules,
  readServiceAccount,
  secretsRule,
} from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { runProgram } from '../support/run-program.ts';
import type { Ended } from './run-command.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const ownName = 'ecr-pull-secrets';

describeOnCluster('the program in a separate process', (cluster) => {
  let ecr: EcrDouble;
  let folder: string;
  before(async () => {
    ecr = await startEcrDouble();
    folder = await mkdtemp(join(tmpdir(), 'provisioning-'));
  });
  after(async () => {
    await ecr.stop();
    await rm(folder, { recursive: true });
  });

  async function run(args: readonly string[], config: Record<string, unknown> = {}): Promise<Ended> {
    const file = join(folder, 'config.yaml');
    await writeFile(file, stringify({ ...config, kubernetes: { kubeconfig: cluster().kubeconfigPath } }));
    const options = { env: { PATH: process.env['PATH'], ...ecr.env() }, timeout: 30_000 };
    return await runProgram(process.execPath, [mainFile, ...args, '--config', file], options);
  }

  function assertNoSecretShown(text: string): void {
    for (const secret of ecr.secrets()) {
      assert.ok(!text.includes(secret));
    }
  }

  it('warns of settings that have no effect without a registry', async () => {
    const kubeconfigPath = await createAccountWithRules(cluster(), [secretsRule]);
    const provisioning = { namespaces: { names: ['shop'], selector: 'team=shop' } };
    const program = await startProgram({ kubeconfigPath, environment: ecr.env(), config: { provisioning } });
    const line = program.log().find(({ msg }) => /provisioning.registries is empty/.test(String(msg)));
    assert.deepEqual(line?.['settings'], [
      'provisioning.namespaces.names',
      'provisioning.namespaces.selector',
    ]);
    assert.equal(line?.['level'], 'warn');
    await program.stop();
  });

  it('provisions Secret and reference while it serves, and exits on a signal', async () => {
    const kubeconfigPath = await createAccountWithRules(cluster(), [secretsRule, ...provisioningRules]);
    const provisioning = { registries: [host], namespaces: { selector: 'team=process' } };
    const program = await startProgram({ kubeconfigPath, environment: ecr.env(), config: { provisioning } });
    const namespace = await createLabelledNamespace(cluster(), { team: 'process' });
    await createServiceAccount(cluster(), namespace);
    await eventually('the Secret', async () => (await readPullSecret(cluster(), namespace))?.auths[host]);
    await eventually('the reference', async () =>
      (await readServiceAccount(cluster(), namespace)).pullSecrets?.includes(ownName),
    );
    await program.stop();
    assert.equal(await program.exited, 0);
    assertNoSecretShown(program.output());
  });

  it('syncs and uninstalls, with the result on standard output and the log on standard error', async () => {
    const namespace = await createLabelledNamespace(cluster(), {});
    await createServiceAccount(cluster(), namespace);
    const args = ['sync', '--namespace', namespace, '--registry', host, '--output', 'json'];
    const synced = await run(args);
    assert.equal(synced.code, 0, synced.stderr);
    assert.deepEqual(JSON.parse(synced.stdout), {
      namespaces: [
        {
          namespace,
          secret: 'updated',
          serviceAccounts: [{ name: 'default', reference: 'added' }],
          failures: [],
        },
      ],
      failed: 0,
    });
    assertNoSecretShown(synced.stdout + synced.stderr);

    const missing = await run(['sync', '--namespace', namespace]);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /provisioning\.registries is empty and --registry is not given/);
    const failed = await run([...args, '--service-account', 'none']);
    assert.deepEqual([failed.code, JSON.parse(failed.stdout).failed], [1, 1]);

    const dry = await run(['uninstall', '--dry-run']);
    assert.equal(dry.code, 0);
    assert.match(dry.stdout, new RegExp(`${namespace} +Secret ${ownName} +would be removed`));
    assert.ok(await readPullSecret(cluster(), namespace));
    const gone = await run(['uninstall', '--yes']);
    assert.equal(gone.code, 0, gone.stderr);
    assert.equal(await readPullSecret(cluster(), namespace), undefined);
    assert.equal((await readServiceAccount(cluster(), namespace)).pullSecrets, undefined);
  });
});
