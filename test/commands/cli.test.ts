// Tests help, flags, exit codes and error messages of all commands, before they connect to anything.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildProgram, parseCommandLine } from '../../src/cli.ts';
import { ConfigError } from '../../src/config/load-config.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { createCertificateFiles } from '../support/program.ts';
import { runProgram } from '../support/run-program.ts';
import { type Ended, parseValid, runCommand } from './run-command.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

/** Runs the program in a separate process. */
function spawnProgram(args: readonly string[], environment: Record<string, string> = {}): Promise<Ended> {
  const env = { PATH: process.env['PATH'], ...environment };
  return runProgram(process.execPath, [mainFile, ...args], { env, timeout: 20_000 });
}

function parse(args: readonly string[]): object {
  const { name, options } = parseValid(args);
  return { name, ...options };
}

/** The usage error of a command line, which names the help to read. */
function usageError(args: readonly string[]): { problem: string; help: string } {
  const ended = parseCommandLine(args);
  assert.ok('exitCode' in ended, JSON.stringify(args));
  assert.deepEqual([ended.exitCode, ended.stdout], [2, '']);
  const { problem = '', help = '' } =
    /^ecr-pull-secrets: (?<problem>[^\n]+); see '(?<help>[^\n]+)'\n$/.exec(ended.stderr)?.groups ?? {};
  assert.notEqual(problem, '', ended.stderr);
  return { problem, help };
}

function output(args: readonly string[]): string {
  const ended = parseCommandLine(args);
  assert.ok('exitCode' in ended);
  assert.deepEqual([ended.exitCode, ended.stderr], [0, '']);
  return ended.stdout;
}

describe('the command line', () => {
  it('shows its version and its usage', () => {
    for (const flag of ['--version', '-V']) {
      assert.match(output([flag]), /^\d+\.\d+\.\d+\n$/);
    }
    for (const args of [['--help'], ['-h'], ['help']]) {
      assert.match(output(args), /^Usage: ecr-pull-secrets \[options\] \[command\]\n/);
    }
  });

  it('accepts a reader that closes its output early, and fails if the output is lost', async () => {
    const endOf = async (stdout: 'pipe' | number) => {
      const child = spawn(process.execPath, [mainFile, '--help'], { stdio: ['ignore', stdout, 'pipe'] });
      child.stdout?.destroy();
      const [[code], stderr] = await Promise.all([
        once(child, 'exit'),
        text(child.stderr ?? Readable.from('')),
      ]);
      return { code, stderr };
    };
    assert.deepEqual(await endOf('pipe'), { code: 0, stderr: '' });
    const full = await open('/dev/full', 'w');
    const ended = await endOf(full.fd);
    await full.close();
    assert.deepEqual(ended, {
      code: 1,
      stderr: 'ecr-pull-secrets: cannot write to standard output (ENOSPC)\n',
    });
  });

  it('shows help with examples for each command', () => {
    const { commands } = buildProgram(
      () => undefined,
      () => undefined,
    );
    const names = commands.map((command) => command.name());
    assert.deepEqual(names, [
      'serve',
      'certificates',
      'sync',
      'uninstall',
      'remove-host',
      'doctor',
      'status',
      'explain',
      'completion',
    ]);
    for (const name of names) {
      const help = output([name, '--help']);
      assert.match(help, new RegExp(`^Usage: ecr-pull-secrets ${name} `));
      assert.match(help, new RegExp(`Examples:\n {2}\\$ ecr-pull-secrets ${name}`));
      assert.equal(output([name, '-h']), help);
      assert.equal(output(['help', name]), help);
    }
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
    ['sync', '--namespace', '--output', 'json'],
    ['uninstall', '--dry-run', '--registry', 'x'],
    ['remove-host', '--namespace', 'shop'],
    ['status', '--state', 'broken'],
    ['status', '--host', 'not a host'],
    ['status', '--output', 'html'],
    ['explain'],
    ['completion'],
    ['completion', 'tcsh'],
    ['completion', 'bash', 'zsh'],
    ['explain', '-f', 'x', '--namespace', 'team-*'],
    ['explain', '-f', 'x', '--namespace-labels', 'team'],
    ['remove-host', '--namespace', 'shop', 'docker.io'],
    ['remove-host', host],
    ['remove-host', '--yes', '--namespace', 'shop', host],
    ['doctor', 'more'],
    ['doctor', '--output', 'yaml'],
    ['doctor', '--group', 'none'],
    ['doctor', '--namespace', '..'],
    ['doctor', '--install-namespace', 'a.b'],
    ['doctor', '--timeout', '0s'],
    ['doctor', '--timeout', '30'],
    ['help', 'frobnicate'],
  ]) {
    it(`refuses ${JSON.stringify(args)} with exit code 2 and one line that names the help`, () => {
      const known = args[0] !== undefined && !['frobnicate', 'help'].includes(args[0]);
      const { help } = usageError(args);
      assert.equal(help, `ecr-pull-secrets ${known ? `${args[0]} ` : ''}--help`);
    });
  }

  for (const args of [
    ['pod'],
    ['pod', 'cart'],
    ['pod', 'shop/Cart'],
    ['pod', 'shop/cart', 'shop/more'],
    ['pod', 'shop/cart', '--output', 'html'],
    ['image'],
    ['image', `${host}/a:1`, `${host}/b:1`],
    ['image', `${host}/a:1`, '--platform', 'arm64'],
    ['image', `${host}/a:1`, '--namespace', 'team-*'],
  ]) {
    it(`refuses doctor ${JSON.stringify(args)} with the help of that command`, () => {
      assert.equal(usageError(['doctor', ...args]).help, `ecr-pull-secrets doctor ${args[0]} --help`);
    });
  }

  it('reads the options of doctor pod and doctor image, and not as those of doctor', () => {
    const pod = parse(['doctor', 'pod', 'shop/cart', '--config', 'c.yaml', '--output', 'json']);
    assert.deepEqual(Object.fromEntries(Object.entries(pod).filter(([, value]) => value !== undefined)), {
      name: 'cart',
      namespace: 'shop',
      configFile: 'c.yaml',
      output: 'json',
    });
    const image = parse([
      'doctor',
      'image',
      `${host}/a:1`,
      '--platform',
      'linux/arm64',
      '--namespace',
      'shop',
    ]);
    assert.deepEqual(Object.fromEntries(Object.entries(image).filter(([, value]) => value !== undefined)), {
      name: 'doctor image',
      image: `${host}/a:1`,
      platform: 'linux/arm64',
      namespace: 'shop',
      output: 'text',
    });
  });

  it('suggests the command or flag that a misspelt one resembles', () => {
    assert.equal(usageError(['snyc']).problem, "unknown command 'snyc' (Did you mean sync?)");
    assert.equal(
      usageError(['uninstall', '--dryrun']).problem,
      "unknown option '--dryrun' (Did you mean --dry-run?)",
    );
    assert.equal(usageError(['frobnicate']).problem, "unknown command 'frobnicate'");
  });

  it('says that flags of a command come after it', () => {
    assert.equal(usageError(['--config', 'c.yaml', 'serve']).problem, '--config belongs after the command');
    assert.equal(usageError(['--frobnicate', 'serve']).problem, "unknown option '--frobnicate'");
  });

  it('shows an empty argument in quotes', () => {
    assert.equal(usageError(['sync', '']).problem, "sync takes no arguments, but got ''");
    const { problem } = usageError(['remove-host', '--namespace', 'shop', ' ']);
    assert.equal(problem, `remove-host takes a registry host such as ${host}, not ' '`);
  });

  it('reports what is wrong in one sentence', () => {
    assert.equal(usageError([]).problem, 'no command given');
    assert.equal(usageError(['help', 'snyc']).problem, "unknown command 'snyc'");
    assert.equal(usageError(['serve', 'a', 'b']).problem, 'serve takes no arguments, but got a, b');
    assert.equal(usageError(['sync', '--output', 'yaml']).problem, '--output takes text or json, not yaml');
    assert.equal(usageError(['sync', '--namespace', '']).problem, '--namespace must not be empty');
    assert.equal(
      usageError(['sync', '--namespace', '--output', 'json']).problem,
      '--namespace needs a value, not the flag --output',
    );
  });

  it('prints no control characters and no line breaks that a user typed', () => {
    const hostile = '\u001b]0;x\u0007\u009b2J\u202e\r\n(Did you mean --yes?)\t';
    for (const args of [
      [hostile],
      [`--${hostile}`],
      ['serve', hostile],
      ['serve', `--${hostile}`],
      ['sync', '--output', hostile],
      ['sync', '--registry', hostile],
      ['remove-host', '--namespace', 'shop', hostile],
      ['help', hostile],
    ]) {
      const { problem } = usageError(args);
      const shown = '<U+001B>]0;x<U+0007><U+009B>2J<U+202E><U+000D><U+000A>(Did you mean --yes?)<U+0009>';
      assert.ok(problem.includes(shown), problem);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the output must not contain them
      assert.doesNotMatch(problem, /[\x00-\x1f\x7f-\x9f\u202e]/);
    }
  });

  it('shows no credential that a user typed', () => {
    assert.equal(usageError(['AKIAEXAMPLEEXAMPLE12']).problem, "unknown command '[redacted]'");
  });

  it('refuses names that no object can have, so that none of them changes the path of a request', () => {
    for (const name of [
      '..',
      '.',
      '../secrets',
      'a b',
      'Shop',
      'a?watch=1',
      '*/..',
      'a\n',
      '*'.repeat(254),
    ]) {
      for (const flag of ['--namespace', '--service-account']) {
        assert.match(
          usageError(['sync', '--registry', host, flag, name]).problem,
          new RegExp(`^${flag} takes a name of lowercase letters, digits, "-" and ".", not `),
          name,
        );
      }
    }
    assert.match(
      usageError(['remove-host', '--namespace', '..', host]).problem,
      /^--namespace takes a name of .+, not \.\.$/,
    );
  });

  it('names the flag of an invalid registry', () => {
    assert.equal(
      usageError(['sync', '--registry', 'docker.io']).problem,
      `--registry takes a registry host such as ${host}, not docker.io`,
    );
    assert.equal(
      usageError(['remove-host', '--namespace', 'shop', 'docker.io']).problem,
      `remove-host takes a registry host such as ${host}, not docker.io`,
    );
  });

  it('accepts uninstall only with one of --dry-run and --yes, and explains both', () => {
    for (const args of [['uninstall'], ['uninstall', '--dry-run', '--yes']]) {
      const { problem } = usageError(args);
      assert.match(problem, /--dry-run, which only lists .+, or --yes, which removes it$/);
    }
    const removes = { name: 'uninstall', configFile: undefined, dryRun: false, output: 'text' };
    assert.deepEqual(parse(['uninstall', '--yes']), removes);
    const dry = ['uninstall', '--dry-run', '--config', 'c.yaml', '--output', 'json'];
    assert.deepEqual(parse(dry), { ...removes, configFile: 'c.yaml', dryRun: true, output: 'json' });
  });

  it('accepts hosts to remove, each once, from exactly one namespace', () => {
    const plain = {
      name: 'remove-host',
      configFile: undefined,
      namespace: 'a',
      hosts: [host],
      output: 'text',
    };
    assert.deepEqual(parse(['remove-host', '--namespace', 'a', host, host]), { ...plain, dryRun: false });
    assert.deepEqual(parse(['remove-host', host, '--dry-run', '--namespace', 'a']), {
      ...plain,
      dryRun: true,
    });
    for (const namespaces of [[], ['--namespace', 'a*'], ['--namespace', 'a', '--namespace', 'b']]) {
      assert.equal(
        usageError(['remove-host', host, ...namespaces]).problem,
        'remove-host needs exactly one --namespace, without *',
      );
    }
    assert.equal(
      usageError(['remove-host', '--namespace', 'a']).problem,
      `remove-host needs at least one HOST, such as ${host}`,
    );
  });

  it('accepts the configuration file of serve and certificates', () => {
    const serve = { name: 'serve', webhookAddress: undefined };
    for (const expected of [serve, { name: 'certificates' }]) {
      const { name } = expected;
      assert.deepEqual(parse([name, '--config', 'c.yaml']), { ...expected, configFile: 'c.yaml' });
      assert.deepEqual(parse([name]), { ...expected, configFile: undefined });
    }
    const webhookAddress = '10.0.0.1';
    assert.deepEqual(parse(['serve', `--webhook-address=${webhookAddress}`]), {
      ...serve,
      webhookAddress,
      configFile: undefined,
    });
  });

  it('accepts every flag of doctor', () => {
    const installation = { configFile: undefined, kubeconfig: undefined, context: undefined };
    const plain = { name: 'doctor', ...installation, installNamespace: undefined };
    const run = { output: 'text', groups: [], namespace: undefined, timeoutMs: 30_000 };
    assert.deepEqual(parse(['doctor']), { ...plain, ...run });
    const where = ['--config', 'c', '--kubeconfig', 'k', '--context', 'x', '--install-namespace', 'i'];
    const what = [
      '--output',
      'html',
      '--group',
      'aws',
      '--group',
      'pods',
      '--namespace',
      'n',
      '--timeout',
      '2m',
    ];
    assert.deepEqual(parse(['doctor', ...where, ...what]), {
      ...{ name: 'doctor', configFile: 'c', kubeconfig: 'k', context: 'x', installNamespace: 'i' },
      ...{ output: 'html', groups: ['aws', 'pods'], namespace: 'n', timeoutMs: 120_000 },
    });
  });

  it('accepts every flag of sync, repeated if it takes several values', () => {
    const none = { namespaces: [], serviceAccounts: [], registries: [] };
    const plain = { name: 'sync', configFile: undefined, ...none, output: 'text' };
    assert.deepEqual(parse(['sync']), plain);
    const args = ['--namespace', 'a', '--namespace', 'b', '--service-account', '*', '--registry', host];
    assert.deepEqual(parse(['sync', ...args, '--output', 'json']), {
      ...plain,
      namespaces: ['a', 'b'],
      serviceAccounts: ['*'],
      registries: [host],
      output: 'json',
    });
  });
});

describe('a command that cannot start', () => {
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

  async function configOfNoServer(): Promise<string> {
    return await configFile(`kubernetes: { kubeconfig: ${await kubeconfigOfNoServer()} }`);
  }

  async function configError(running: Promise<unknown>): Promise<string> {
    const error = await running.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }

  it('reports all problems of a configuration', async () => {
    const file = await configFile('onFailure: maybe\nsecretNam: x');
    const message = await configError(runCommand(['serve', '--config', file]));
    assert.match(message, /onFailure must be admit or deny/);
    assert.match(message, /did you mean secretName/);
  });

  it('names the file that it cannot read', async () => {
    const message = await configError(runCommand(['serve', '--config', join(directory, 'none.yaml')]));
    assert.match(message, /none\.yaml cannot be used:\n {2}does not exist/);
  });

  it('refuses a directory, and a file that is larger than a ConfigMap', async () => {
    const ofDirectory = await configError(runCommand(['serve', '--config', directory]));
    assert.match(ofDirectory, /is a directory, not a file$/);
    const ofDevice = await configError(runCommand(['serve', '--config', '/dev/zero']));
    assert.match(ofDevice, /is larger than 1 MiB, the limit of a ConfigMap$/);
  });

  const unusable = () => ({
    AWS_ACCESS_KEY_ID: 'AKIACANARY0000000000\n',
    AWS_SECRET_ACCESS_KEY: 'canary canary',
    AWS_ENDPOINT_URL_ECR: 'canary.example.com',
    AWS_CA_BUNDLE: join(directory, 'tls.key'),
    HTTPS_PROXY: 'http://user:canary0password@not a host:1',
    HTTP_PROXY: 'socks5://canary.example.com:1080',
  });
  const problems = [
    'the environment cannot be used:',
    '  AWS_ACCESS_KEY_ID ends with a line break; store it without one, for example with kubectl --from-literal or printf',
    '  AWS_SECRET_ACCESS_KEY contains a space, a control character or a character outside of ASCII; set it exactly as AWS issued it',
    '  AWS_ENDPOINT_URL_ECR must be a URL that begins with https:// or http://',
    '  AWS_CA_BUNDLE names a file without a CA certificate in PEM format',
    '  HTTPS_PROXY contains a space or a line break; set a URL such as http://proxy.example.com:3128',
    '  HTTP_PROXY has the scheme socks5; only http and https proxies are supported, such as http://proxy.example.com:3128',
  ].join('\n');

  for (const args of [['serve'], ['sync', '--registry', host]]) {
    it(`reports all errors of ${args[0]} with AWS or proxy variables that cannot be used`, async () => {
      const running = runCommand([...args, '--config', await configOfNoServer()], {
        environment: unusable(),
      });
      assert.equal(await configError(running), problems);
    });
  }

  for (const command of ['serve', 'certificates']) {
    it(`logs an error at the start of ${command} as one line of JSON on standard output`, async () => {
      const file = await configFile('webhook: { port: 0, prot: 1 }\nstatus: { port: none }');
      const { code, stdout, stderr } = await spawnProgram([command, '--config', file]);
      assert.deepEqual([code, stderr, stdout.trimEnd().split('\n').length], [2, '', 1]);
      const { level, msg, problems: found, err } = JSON.parse(stdout);
      assert.deepEqual([level, msg, err.code], ['fatal', 'failed to start', 'invalid-config']);
      assert.equal(found.length, 2, stdout);
      assert.match(found.join(), /webhook\.prot is not a known key; did you mean port\?.*status\.port/);
    });
  }

  it('exits with 2 and writes only to standard error if the environment cannot be used', async () => {
    const environment = { ...unusable(), KUBECONFIG: await kubeconfigOfNoServer() };
    assert.deepEqual(await spawnProgram(['sync', '--registry', host], environment), {
      code: 2,
      stdout: '',
      stderr: `ecr-pull-secrets: ${problems}\n`,
    });
  });

  it('needs no AWS variables to uninstall', async () => {
    const config = await configOfNoServer();
    for (const args of [
      ['uninstall', '--dry-run'],
      ['remove-host', '--namespace', 'shop', host],
    ]) {
      await assert.rejects(
        runCommand([...args, '--config', config], { environment: unusable() }),
        (error: unknown) => {
          assert.ok(error instanceof KubeError);
          assert.match(error.message, /^cannot (list|read) /);
          return true;
        },
      );
    }
  });

  it('reports what is wrong with the kubeconfig', async () => {
    const file = await configFile(`kubernetes: { kubeconfig: ${join(directory, 'none')} }`);
    await assert.rejects(runCommand(['serve', '--config', file]), /kubeconfig/);
  });

  it('reports what is wrong with the certificate, with exit code 1', async () => {
    const kubeconfig = await kubeconfigOfNoServer();
    const webhook = `webhook: { certFile: ${join(directory, 'none.crt')}, keyFile: ${join(directory, 'tls.key')} }`;
    const file = await configFile(`${webhook}\nkubernetes: { kubeconfig: ${kubeconfig} }`);
    const { code, stdout, stderr } = await spawnProgram(['serve', '--config', file]);
    assert.deepEqual([code, stderr], [1, '']);
    const last = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
    assert.deepEqual([last.level, last.msg], ['fatal', 'failed to start']);
    assert.match(last.err.message, /^webhook\.certFile .*none\.crt does not exist$/);
    assert.ok(!stdout.includes('obviously-fake'));
  });
});
