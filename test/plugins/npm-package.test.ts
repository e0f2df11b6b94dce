// Tests the npm package: packed, installed offline into an empty folder, and run with npx and as a plugin of a real kubectl.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, matchesGlob } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parse } from 'yaml';
import { filesOfTar } from '../../image/tar.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { obtainKubectl } from '../chart/helm.ts';
import { runCommand } from '../commands/run-command.ts';
import { startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { type ProcessOutput, runProgram } from '../support/run-program.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the npm package', () => {
  let folder = '';
  let archive = '';
  let env: NodeJS.ProcessEnv = {};
  const installed = () => join(folder, 'installed');

  const run = (
    program: string,
    args: readonly string[],
    more: NodeJS.ProcessEnv = {},
  ): Promise<ProcessOutput> =>
    runProgram(program, args, { cwd: installed(), env: { ...env, ...more }, timeout: 120_000 });

  const runSuccessfully = async (...parameters: Parameters<typeof run>): Promise<string> => {
    const { code, stdout, stderr } = await run(...parameters);
    assert.equal(code, 0, `${parameters[0]} ${parameters[1].join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'npm-package-'));
    // npm scripts run with the Node.js of this process, and the caches of the user stay as they are.
    env = {
      PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}`,
      HOME: folder,
      npm_config_cache: join(folder, 'cache'),
      npm_config_update_notifier: 'false',
    };
    await mkdir(installed());
    await writeFile(join(installed(), 'package.json'), '{"private":true}');
    // A copy, because npm pack replaces package.json while it runs, and other tests read it.
    const sources = join(folder, 'sources');
    const excluded = ['node_modules', 'dist', '.git', 'test', 'docs'].map((name) => join(root, name));
    await cp(root, sources, { recursive: true, filter: (path) => !excluded.includes(path) });
    await symlink(join(root, 'node_modules'), join(sources, 'node_modules'));
    const manifest = await readFile(join(sources, 'package.json'), 'utf8');
    const packed = await runProgram('npm', ['pack', '--pack-destination', folder], { cwd: sources, env });
    assert.equal(packed.code, 0, packed.stderr);
    archive = join(folder, `${packageJson.name}-${packageJson.version}.tgz`);
    assert.equal(await readFile(join(sources, 'package.json'), 'utf8'), manifest, 'package.json is restored');
    await runSuccessfully('npm', [
      'install',
      archive,
      '--ignore-scripts',
      '--offline',
      '--no-audit',
      '--no-fund',
    ]);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('contains the bundle and its licenses, and nothing else', async () => {
    const files = [...filesOfTar(await promisify(gunzip)(await readFile(archive)))];
    const paths = files.map(({ path }) => path.replace(/^package\//, ''));
    const expected =
      /^(package[.]json|README[.]md|LICENSE|dist\/[\w/.-]+[.]mjs|dist\/(THIRD-PARTY-LICENSES|\S+[.]LEGAL[.]txt)|plugins\/kubectl_complete-ecr_pull_secrets)$/;
    assert.deepEqual(
      paths.filter((path) => !expected.test(path)),
      [],
    );
    assert.ok(paths.includes('dist/main.mjs'));
    assert.ok(paths.includes('LICENSE'));
    assert.ok(paths.includes('dist/THIRD-PARTY-LICENSES'));
    const text = files.map(({ data }) => data.toString()).join('\n');
    assert.ok(!text.includes(root), 'no path of the machine that packed it');
  });

  it('installs no other package', async () => {
    const names = await readdir(join(installed(), 'node_modules'));
    assert.deepEqual(
      names.filter((name) => !name.startsWith('.')),
      [packageJson.name],
    );
  });

  it('requires the Node.js version that the bundle checks', async () => {
    const manifest = JSON.parse(
      await readFile(join(installed(), 'node_modules', packageJson.name, 'package.json'), 'utf8'),
    );
    const bundle = await readFile(
      join(installed(), 'node_modules', packageJson.name, 'dist/main.mjs'),
      'utf8',
    );
    const [, version] = /needs Node\.js (\d+) or later/.exec(bundle) ?? [];
    assert.deepEqual(manifest.engines, { node: `>=${version}` });
    assert.deepEqual(
      [manifest.private, manifest.scripts, manifest.dependencies],
      [undefined, undefined, undefined],
    );
  });

  it('runs with npx', async () => {
    const npx = (...args: string[]) => runSuccessfully('npx', ['--offline', packageJson.name, ...args]);
    assert.equal(await npx('--version'), `${packageJson.version}\n`);
    assert.match(await npx('--help'), /^Usage: ecr-pull-secrets /);
  });

  it('writes a pull Secret, with npx and as a plugin of kubectl', async (t) => {
    const cluster = await startApiStandIn();
    const ecr = await startEcrDouble();
    const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
    const environment = { ...ecr.env(), KUBECONFIG: cluster.kubeconfigPath };
    try {
      const sync = async () => {
        const namespace = await cluster.createNamespace('shop');
        return { namespace, args: ['sync', '--namespace', namespace, '--registry', host] };
      };
      const hostsIn = async (namespace: string) =>
        Object.keys((await readPullSecret(cluster, namespace))?.hosts ?? {});
      const first = await sync();
      await runSuccessfully('npx', ['--offline', packageJson.name, ...first.args], environment);
      assert.deepEqual(await hostsIn(first.namespace), [host]);
      const kubectl = await obtainKubectl();
      if (kubectl === undefined) {
        t.skip('no kubectl for this platform');
        return;
      }
      const path = [join(installed(), 'node_modules/.bin'), dirname(kubectl), env['PATH']].join(delimiter);
      const asPlugin = (args: readonly string[]) =>
        runSuccessfully(kubectl, args, { ...environment, PATH: path });
      const second = await sync();
      await asPlugin(['ecr-pull-secrets', ...second.args]);
      assert.deepEqual(await hostsIn(second.namespace), [host]);
      assert.match(await asPlugin(['__complete', 'ecr-pull-secrets', 'sta']), /^status\t.+\n:4\n$/);
    } finally {
      await Promise.all([cluster.stop(), ecr.stop()]);
    }
  });

  it('is described for krew by its rules, with the checksum and the files of the archive', async () => {
    const manifestFile = join(folder, `${packageJson.name}.yaml`);
    const uri = `https://downloads.example/${packageJson.name}.tgz`;
    const args = ['--archive', archive, '--uri', uri, '--out', manifestFile];
    await runSuccessfully(process.execPath, [join(root, 'plugins/krew.ts'), ...args]);
    const { apiVersion, kind, metadata, spec } = parse(await readFile(manifestFile, 'utf8'));
    // https://github.com/kubernetes-sigs/krew/blob/v0.4.3/internal/index/validation/validate.go
    assert.deepEqual(
      [apiVersion, kind, metadata],
      ['krew.googlecontainertools.github.com/v1alpha2', 'Plugin', { name: packageJson.name }],
    );
    assert.equal(spec.version, `v${packageJson.version}`);
    assert.match(spec.shortDescription, /^.{1,50}$/);
    assert.ok(spec.description.length > 0 && spec.homepage.startsWith('https://'));
    const [platform, ...others] = spec.platforms;
    assert.deepEqual(others, []);
    const sha256 = createHash('sha256')
      .update(await readFile(archive))
      .digest('hex');
    assert.deepEqual([platform.uri, platform.sha256], [uri, sha256]);
    const paths = [...filesOfTar(await promisify(gunzip)(await readFile(archive)))].map(({ path }) => path);
    const moved = platform.files.flatMap(({ from, to }: { from: string; to: string }) => {
      const sources = paths.filter((path) => matchesGlob(path, from));
      assert.notDeepEqual(sources, [], `${from} is not in the archive`);
      return sources.map((path) => join(to, path.slice(dirname(from).length + 1)));
    });
    assert.ok(moved.includes(platform.bin) && moved.includes('LICENSE'), moved.join());
  });

  it('is packed from the package.json of the sources after an interrupted npm pack', async () => {
    const sources = join(folder, 'interrupted');
    await mkdir(join(sources, 'plugins'), { recursive: true });
    const script = join(sources, 'plugins/packed-manifest.ts');
    await cp(join(root, 'plugins/packed-manifest.ts'), script);
    const file = join(sources, 'package.json');
    const call = (step: string) => runSuccessfully(process.execPath, [script, step]);
    const write = (version: string) =>
      writeFile(file, `${JSON.stringify({ name: 'x', version, scripts: { test: 'true' } })}\n`);
    const read = async () => JSON.parse(await readFile(file, 'utf8'));
    await write('1.0.0');
    await call('strip'); // and npm pack is killed
    await call('strip');
    assert.equal((await read()).scripts, undefined);
    await call('restore');
    assert.deepEqual(await read(), { name: 'x', version: '1.0.0', scripts: { test: 'true' } });
    await call('strip'); // and npm pack is killed
    await write('1.1.0'); // with Git and an editor
    await call('strip');
    assert.equal((await read()).version, '1.1.0');
    await call('restore');
    assert.deepEqual(await read(), { name: 'x', version: '1.1.0', scripts: { test: 'true' } });
  });

  it('contains the program that completion prints for kubectl', async () => {
    const { stdout } = await runCommand(['completion', 'kubectl']);
    const file = join(installed(), 'node_modules/.bin/kubectl_complete-ecr_pull_secrets');
    assert.equal(await readFile(file, 'utf8'), stdout);
  });
});
