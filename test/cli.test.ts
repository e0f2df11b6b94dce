import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { certificatesIn } from './support/process.ts';

const mainFile = fileURLToPath(new URL('../src/main.ts', import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], environment: Record<string, string> = {}): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const options = { env: { PATH: process.env['PATH'], ...environment }, timeout: 20_000 };
  execFile(process.execPath, [mainFile, ...args], options, (error, stdout, stderr) => {
    resolve({ code: Number(error?.code ?? 0), stdout, stderr });
  });
  return promise;
}

describe('the command line', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'cli-'));
    await certificatesIn(directory);
  });
  after(() => rm(directory, { recursive: true, force: true }));

  async function configFile(yaml: string): Promise<string> {
    const file = join(directory, 'config.yaml');
    await writeFile(file, yaml);
    return file;
  }

  it('shows its version and its usage', async () => {
    assert.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
    const { code, stdout } = await run(['--help']);
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: ecr-pull-secrets serve/);
  });

  for (const args of [
    [],
    ['frobnicate'],
    ['serve', 'more'],
    ['serve', '--frobnicate'],
    ['serve', '--config'],
  ]) {
    it(`refuses ${JSON.stringify(args)} with exit code 2 and the usage`, async () => {
      const { code, stderr, stdout } = await run(args);
      assert.equal(code, 2);
      assert.match(stderr, /^ecr-pull-secrets: .+\n\nUsage:/);
      assert.equal(stdout, '');
    });
  }

  it('refuses a configuration with all of its problems, and exit code 2', async () => {
    const { code, stderr } = await run([
      'serve',
      '--config',
      await configFile('onFailure: maybe\nsecretNam: x'),
    ]);
    assert.equal(code, 2);
    assert.match(stderr, /onFailure must be admit or deny/);
    assert.match(stderr, /did you mean secretName/);
  });

  it('says which file it cannot read', async () => {
    const { code, stderr } = await run(['serve', '--config', join(directory, 'none.yaml')]);
    assert.equal(code, 2);
    assert.match(stderr, /none\.yaml cannot be used:\n {2}cannot be read \(ENOENT\)/);
  });

  it('says what is wrong with kubeconfig and certificate, with exit code 1', async () => {
    const nowhere = await run(['serve'], { KUBECONFIG: join(directory, 'none') });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /kubeconfig/);
    const kubeconfig = join(directory, 'kubeconfig');
    await writeFile(
      kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          { name: 'c', cluster: { server: 'http://127.0.0.1:9', 'insecure-skip-tls-verify': true } },
        ],
        users: [{ name: 'u', user: { token: 'obviously-fake' } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'c',
      }),
    );
    const webhook = `webhook: { certFile: ${join(directory, 'none.crt')}, keyFile: ${join(directory, 'tls.key')} }`;
    const file = await configFile(`${webhook}\nkubernetes: { kubeconfig: ${kubeconfig} }`);
    const { code, stderr } = await run(['serve', '--config', file]);
    assert.equal(code, 1);
    assert.match(stderr, /none\.crt: no such file/);
    assert.ok(!stderr.includes('obviously-fake'));
  });
});
