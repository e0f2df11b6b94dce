// Runs npm run try with the real Helm and kubectl on a real API server, and with the bundled ECR stand-in.
import assert from 'node:assert/strict';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { standInHost, standInPodImage } from '../../try/settings.ts';
import { describeChartOnCluster } from '../chart/chart-suite.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import type { ProcessOutput } from '../support/run-program.ts';
import { createLaptop, type Laptop, type SimulatedNode, startNode } from './laptop.ts';

describeChartOnCluster(
  'npm run try',
  (cluster) => {
    let folder = '';
    let laptop: Laptop;
    let node: SimulatedNode;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'laptop-'));
      const layerFile = join(folder, 'layer.tar');
      await writeFile(layerFile, Buffer.alloc(1024));
      laptop = await createLaptop(folder, await readFile(cluster().kubeconfigPath, 'utf8'));
      const standInFile = join(laptop.folder, 'k3d/image/stand-in.mjs');
      node = startNode({ cluster: cluster(), standInFile, layerFile });
    });
    after(async () => {
      await node.stop();
      await rm(folder, { recursive: true, force: true });
    });

    /** The commands that a run printed, without those of docker. */
    function commandsIn({ stdout }: ProcessOutput): string[] {
      return [...stdout.matchAll(/^\$ (?!docker|export)(.+)$/gm)].map(([, command = '']) => command);
    }

    async function runSuccessfully(...parameters: Parameters<Laptop['run']>): Promise<ProcessOutput> {
      const result = await laptop.run(...parameters);
      assert.equal(result.code, 0, `${result.stdout}${result.stderr}`);
      return result;
    }

    it('refuses a cluster that it did not create, also to delete it', async () => {
      await writeFile(join(folder, 'node'), 'node of another\n');
      for (const args of [[], ['--delete']]) {
        const { code, stdout, stderr } = await laptop.run(args);
        assert.deepEqual([code, stdout], [1, '']);
        assert.match(
          stderr,
          /^npm run try: the k3d cluster ecr-pull-secrets-try exists, and npm run try did not/,
        );
      }
      await rm(join(folder, 'node'));
    });

    it('installs the chart with the stand-in, and a pod pulls with the pull Secret', async () => {
      const result = await runSuccessfully([]);
      const commands = commandsIn(result);
      assert.ok(commands[0]?.startsWith('k3d cluster create ecr-pull-secrets-try '), commands[0]);
      assert.ok(result.stdout.includes(`Successfully pulled image "${standInPodImage}"`), result.stdout);
      assert.deepEqual(node.pulled, [standInPodImage]);
      const secret = await readPullSecret(cluster(), 'default');
      assert.deepEqual(Object.keys(secret?.auths ?? {}), [standInHost]);
    });

    it('uses its cluster again', async () => {
      const commands = commandsIn(await runSuccessfully([]));
      assert.ok(!commands.some((command) => command.startsWith('k3d cluster create')), commands.join('\n'));
      assert.deepEqual(node.pulled, [standInPodImage, standInPodImage]);
    });

    it('stores a key of the environment, and does not print it', async () => {
      const key = { AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'SecretOfTheUser' };
      const { stdout, stderr } = await runSuccessfully([], key);
      assert.doesNotMatch(`${stdout}${stderr}`, /AKIAIOSFODNN7EXAMPLE|SecretOfTheUser/);
      const { body } = await cluster().request('GET', '/api/v1/namespaces/ecr-pull-secrets/secrets/aws');
      assert.ok(JSON.stringify(body).includes(Buffer.from(key.AWS_SECRET_ACCESS_KEY).toString('base64')));
      assert.match(stdout, /kubectl run cart --image=IMAGE/);
    });

    it('deletes its cluster and its files, and then has none', async () => {
      const commands = commandsIn(await runSuccessfully(['--delete']));
      assert.deepEqual(commands, ['k3d cluster delete ecr-pull-secrets-try']);
      await assert.rejects(access(join(folder, 'node')), { code: 'ENOENT' });
      await assert.rejects(access(join(laptop.folder, 'k3d')), { code: 'ENOENT' });
      const { stdout } = await runSuccessfully(['--delete']);
      assert.equal(stdout, 'npm run try has no k3d cluster\n');
    });
  },
  { ownApiServer: true },
);
