import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readCommand } from '../src/cli.ts';
import { createCertificateFiles } from './support/program.ts';

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
    await createCertificateFiles(directory);
  });
  after(() => rm(directory, { recursive: true, force: true }));

  async function configFile(yaml: string): Promise<string> {
    const file = join(directory, 'config.yaml');
    await writeFile(file, yaml);
    return file;
  }

  /** A kubeconfig whose API server does not listen. */
  async function kubeconfigOfNoServer(): Promise<string> {
    const file = join(directory, 'kubeconfig');
    await writeFile(
      file,
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
    ['serve', '--namespace', 'shop'],
    ['certificates', 'more'],
    ['certificates', '--registry', 'x'],
    ['sync', 'more'],
    ['sync', '--dry-run'],
    ['sync', '--output', 'yaml'],
    ['sync', '--namespace'],
    ['sync', '--namespace', ''],
    ['uninstall', '--dry-run', '--registry', 'x'],
    ['remove-host', '--namespace', 'shop'],
    ['remove-host', '--namespace', 'shop', 'docker.io'],
    ['remove-host', '123456789012.dkr.ecr.eu-central-1.amazonaws.com'],
    ['remove-host', '--yes', '--namespace', 'shop', '123456789012.dkr.ecr.eu-central-1.amazonaws.com'],
  ]) {
    it(`refuses ${JSON.stringify(args)} with exit code 2 and the usage`, async () => {
      const { code, stderr, stdout } = await run(args);
      assert.equal(code, 2);
      assert.match(stderr, /^ecr-pull-secrets: .+\n\nUsage:/);
      assert.equal(stdout, '');
    });
  }

  it('says of a bad registry which flag it came by', () => {
    assert.deepEqual(readCommand(['sync', '--registry', 'docker.io']), {
      name: 'usage-error',
      problem:
        '--registry takes an ECR host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com, not docker.io',
    });
  });

  it('takes uninstall only with one of --dry-run and --yes, and says what each does', () => {
    for (const args of [['uninstall'], ['uninstall', '--dry-run', '--yes']]) {
      const command = readCommand(args);
      assert.ok(command.name === 'usage-error');
      assert.match(command.problem, /--dry-run, which only lists .+, or --yes, which removes it$/);
    }
    const removes = { name: 'uninstall', configFile: undefined, dryRun: false, output: 'text' };
    assert.deepEqual(readCommand(['uninstall', '--yes']), removes);
    const dry = ['uninstall', '--dry-run', '--config', 'c.yaml', '--output', 'json'];
    assert.deepEqual(readCommand(dry), { ...removes, configFile: 'c.yaml', dryRun: true, output: 'json' });
  });

  it('takes hosts to remove, each once, from exactly one namespace', () => {
    const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
    const plain = {
      name: 'remove-host',
      configFile: undefined,
      namespace: 'a',
      hosts: [host],
      output: 'text',
    };
    assert.deepEqual(readCommand(['remove-host', '--namespace', 'a', host, host]), {
      ...plain,
      dryRun: false,
    });
    assert.deepEqual(readCommand(['remove-host', host, '--dry-run', '--namespace', 'a']), {
      ...plain,
      dryRun: true,
    });
    for (const namespaces of [[], ['--namespace', 'a*'], ['--namespace', 'a', '--namespace', 'b']]) {
      assert.deepEqual(readCommand(['remove-host', host, ...namespaces]), {
        name: 'usage-error',
        problem: 'remove-host needs exactly one --namespace, without *',
      });
    }
    assert.deepEqual(readCommand(['remove-host', '--namespace', 'a']), {
      name: 'usage-error',
      problem: `remove-host needs at least one HOST, such as ${host}`,
    });
  });

  it('takes the file of certificates', () => {
    const command = { name: 'certificates', configFile: 'c.yaml' };
    assert.deepEqual(readCommand(['certificates', '--config', 'c.yaml']), command);
  });

  it('takes every flag of sync, more than once where there can be several', () => {
    const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
    const none = { namespaces: [], serviceAccounts: [], registries: [] };
    const plain = { name: 'sync', configFile: undefined, ...none, output: 'text' };
    assert.deepEqual(readCommand(['sync']), plain);
    const args = ['--namespace', 'a', '--namespace', 'b', '--service-account', '*', '--registry', host];
    assert.deepEqual(readCommand(['sync', ...args, '--output', 'json']), {
      ...plain,
      namespaces: ['a', 'b'],
      serviceAccounts: ['*'],
      registries: [host],
      output: 'json',
    });
  });

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

  for (const args of [['serve'], ['sync', '--registry', '123456789012.dkr.ecr.eu-central-1.amazonaws.com']]) {
    it(`refuses to ${args[0]} with AWS or proxy variables that cannot be used, all at once and with exit code 2`, async () => {
      const { code, stderr, stdout } = await run(args, {
        KUBECONFIG: await kubeconfigOfNoServer(),
        AWS_ACCESS_KEY_ID: 'AKIACANARY0000000000\n',
        AWS_SECRET_ACCESS_KEY: 'canary canary',
        AWS_ENDPOINT_URL_ECR: 'canary.example.com',
        AWS_CA_BUNDLE: join(directory, 'tls.key'),
        HTTPS_PROXY: 'http://user:canary0password@not a host:1',
        HTTP_PROXY: 'socks5://canary.example.com:1080',
      });
      assert.equal(code, 2);
      assert.equal(
        stderr,
        [
          'ecr-pull-secrets: the environment cannot be used:',
          '  AWS_ACCESS_KEY_ID ends with a line break; store it without one, for example with kubectl --from-literal or printf',
          '  AWS_SECRET_ACCESS_KEY contains a space, a control character or a character outside of ASCII; set it exactly as AWS issued it',
          '  AWS_ENDPOINT_URL_ECR must be a URL that begins with https:// or http://',
          '  AWS_CA_BUNDLE names a file without a CA certificate in PEM format',
          '  HTTPS_PROXY contains a space or a line break; set a URL such as http://proxy.example.com:3128',
          '  HTTP_PROXY has the scheme socks5; only http and https proxies are supported, such as http://proxy.example.com:3128',
          '',
        ].join('\n'),
      );
      assert.equal(stdout, '');
    });
  }

  it('needs no AWS variables to uninstall', async () => {
    const environment = {
      KUBECONFIG: await kubeconfigOfNoServer(),
      AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE000000000\n',
      HTTPS_PROXY: 'socks5://proxy.example.com:1080',
    };
    const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
    for (const args of [
      ['uninstall', '--dry-run'],
      ['remove-host', '--namespace', 'shop', host],
    ]) {
      const { code, stderr } = await run(args, environment);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^ecr-pull-secrets: cannot (list|read) /);
    }
  });

  it('says what is wrong with kubeconfig and certificate, with exit code 1', async () => {
    const nowhere = await run(['serve'], { KUBECONFIG: join(directory, 'none') });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /kubeconfig/);
    const kubeconfig = await kubeconfigOfNoServer();
    const webhook = `webhook: { certFile: ${join(directory, 'none.crt')}, keyFile: ${join(directory, 'tls.key')} }`;
    const file = await configFile(`${webhook}\nkubernetes: { kubeconfig: ${kubeconfig} }`);
    const { code, stderr } = await run(['serve', '--config', file]);
    assert.equal(code, 1);
    assert.match(stderr, /none\.crt: no such file/);
    assert.ok(!stderr.includes('obviously-fake'));
  });
});
