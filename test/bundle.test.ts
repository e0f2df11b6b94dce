// Tests that the bundle in the image runs without node_modules: it injects a pod.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Metafile } from 'esbuild';
import { startApiStandIn } from './doubles/api-server/api-stand-in.ts';
import { startEcrDouble } from './doubles/ecr/ecr-double.ts';
import { installServiceAccount, registerWebhook } from './support/installation.ts';
import { createPod, podWith } from './support/pods.ts';
import { bundleInto, startProgram } from './support/program.ts';

describe('the bundle in the image', () => {
  it('serves admission requests from a folder without other files', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
    const bundle = join(directory, 'main.mjs');
    await bundleInto(bundle);
    assert.deepEqual(await findUnused(`${bundle}.meta.json`), []);
    const cluster = await startApiStandIn();
    const ecr = await startEcrDouble();
    const kubeconfigPath = await installServiceAccount(cluster);
    const program = await startProgram({
      kubeconfigPath,
      environment: ecr.env(),
      program: bundle,
      // STS and the public registry are loaded when they are needed
      config: { publicRegistry: true, registries: [{ roleArn: 'arn:aws:iam::123456789012:role/pull' }] },
    });
    const webhook = await registerWebhook(cluster, program);
    const images = ['123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:1', 'public.ecr.aws/nginx/nginx:1'];
    const { pullSecrets, warnings } = await createPod(
      cluster,
      await webhook.createNamespace(),
      podWith(images),
    );
    assert.deepEqual([pullSecrets, warnings], [['ecr-pull-secrets'], []]);
    assert.deepEqual([...new Set(ecr.calls.map(({ operation }) => operation))].sort(), [
      'AssumeRole',
      'GetAuthorizationToken',
      'GetCallerIdentity',
    ]);
    await program.stop();
    await Promise.all([ecr.stop(), cluster.stop()]);
    await rm(directory, { recursive: true, force: true });
  });

  it('says which Node.js it needs, because npm and kubectl may run it with an older one', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
    const bundle = join(directory, 'main.mjs');
    await bundleInto(bundle);
    const asOldNode = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.20.2'})";
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', asOldNode, bundle, 'doctor', '--help'],
      { encoding: 'utf8' },
    );
    assert.deepEqual(
      [status, stdout, stderr],
      [1, '', 'ecr-pull-secrets: needs Node.js 24 or later, and this is 20.20.2\n'],
    );
    await rm(directory, { recursive: true, force: true });
  });
});

/** Returns the bundled files of a second YAML parser, and of client-node's API groups, which are not called. */
async function findUnused(metafile: string): Promise<string[]> {
  const { outputs }: Metafile = JSON.parse(await readFile(metafile, 'utf8'));
  return Object.values(outputs)
    .flatMap(({ inputs }) => Object.keys(inputs))
    .filter((file) => /\/(js-yaml|client-node\/dist\/gen\/(apis|models|types))\//.test(file));
}
