// Tests kubeconfigs whose credentials come from a program (user.exec), an auth-provider or a file, and which return none.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { listNamespaces } from '../../src/kube/namespaces.ts';
import { buildKubeconfig } from '../cluster/kubeconfig.ts';
import { eventually } from '../support/eventually.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describe('the program that returns the credentials of a kubeconfig', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'credentials-'));
  });
  after(() => rm(folder, { recursive: true }));

  /** Writes a kubeconfig for a port on which nothing listens. */
  const writeKubeconfig = async (user: object): Promise<string> => {
    const path = join(folder, 'kubeconfig.yaml');
    const kubeconfig = buildKubeconfig({ url: 'http://127.0.0.1:1', caPem: undefined }, 'u', '');
    await writeFile(path, JSON.stringify({ ...kubeconfig, users: [{ name: 'u', user }] }));
    return path;
  };
  const runs = (script: string) => ({
    exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] },
  });
  const loadUser = async (user: object, requestTimeoutMs = 60_000) =>
    loadKubeConfig({ kubeconfigPath: await writeKubeconfig(user), requestTimeoutMs, userAgent: 'test' });
  const load = (script: string, requestTimeoutMs?: number) => loadUser(runs(script), requestTimeoutMs);
  const errorOf = async (
    config: Awaited<ReturnType<typeof load>>,
    signal = new AbortController().signal,
  ): Promise<KubeError> => {
    const error = await listNamespaces(config, { selector: '' }, signal).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    assert.ok(error instanceof KubeError, String(error));
    return error;
  };

  for (const [name, script] of [
    ['fails', 'echo canary-7d1f >&2; exit 3'],
    ['prints text', 'echo canary-7d1f'],
    ['returns no credentials', 'echo {}'],
  ] as const) {
    it(`is named if it ${name}, without what it printed`, async () => {
      const config = await load(script);
      const error = await errorOf(config);
      assert.equal(error.code, 'unauthorized');
      assert.match(
        error.message,
        /sh failed or returned no credentials\): the program that user\.exec .* run it/,
      );
      assert.doesNotMatch(error.message, /canary/);
      await config.close();
    });
  }

  it('is reported if user.exec names none', async () => {
    const config = await loadUser({ exec: { apiVersion: 'client.authentication.k8s.io/v1' } });
    const error = await errorOf(config);
    assert.match(error.message, /\(unauthorized, user\.exec of the kubeconfig names no command\)/);
    await config.close();
  });

  it('is named if it does not end, and is not started by each call', async () => {
    const starts = join(folder, 'starts');
    const config = await load(`echo x >> ${starts}; sleep 2`, 200);
    for (const error of [...(await Promise.all([errorOf(config), errorOf(config)])), await errorOf(config)]) {
      assert.equal(error.code, 'unauthorized');
      assert.match(error.message, /sh did not end within 0\.2 s\): the program that user\.exec/);
    }
    assert.equal(await readFile(starts, 'utf8'), 'x\n');
    await config.close();
  });

  it('does not delay a call that is aborted', async () => {
    const config = await load('sleep 2');
    const error = await errorOf(config, AbortSignal.abort());
    assert.equal(error.isAborted, true);
    await config.close();
  });

  it('does not keep a command that is interrupted', async () => {
    const started = join(folder, 'started');
    const kubeconfig = await writeKubeconfig(runs(`echo x > ${started}; exec sleep 60`));
    const env = { PATH: process.env['PATH'], HOME: folder, KUBECONFIG: kubeconfig };
    const command = spawn(process.execPath, [mainFile, 'status'], { env, stdio: 'ignore' });
    await eventually('the program runs', () => readFile(started, 'utf8').catch(() => undefined), 60_000);
    command.kill('SIGINT');
    const [code] = await once(command, 'exit', { signal: AbortSignal.timeout(30_000) });
    assert.equal(code, 130);
  });

  const provider = (name: string, config: object) => ({ 'auth-provider': { name, config } });
  const jwt = ['{}', '{"exp":1}', 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const oidc = (issuer: string) =>
    provider('oidc', {
      ...{ 'id-token': jwt, 'client-id': 'c', 'refresh-token': 'canary-7d1f', 'idp-issuer-url': issuer },
    });

  for (const [name, getUser, expected] of [
    [
      'an auth-provider without a token',
      () => provider('gcp', {}),
      /unauthorized, auth-provider gcp of .* failed or returned no credentials\)/,
    ],
    [
      'an auth-provider whose program fails',
      () => provider('azure', { 'cmd-path': '/bin/false', 'cmd-args': 'canary-7d1f' }),
      /unauthorized, auth-provider azure of the kubeconfig failed or returned no credentials\): .*sign in again/,
    ],
    [
      'a token of OpenID Connect that is none',
      () => provider('oidc', { 'id-token': 'canary-7d1f.b.c' }),
      /unauthorized, auth-provider oidc of the kubeconfig failed or returned no credentials\)/,
    ],
    [
      'an expired token of OpenID Connect',
      () => oidc('https://127.0.0.1:2'),
      /unauthorized, auth-provider oidc of the kubeconfig failed or returned no credentials\): .*sign in again/,
    ],
    [
      'a token file that is a folder',
      () => provider('x', { tokenFile: folder }),
      /unauthorized, EISDIR\): the file cannot be read/,
    ],
    [
      'a client certificate that is a folder',
      () => ({ 'client-certificate': folder }),
      /unauthorized, EISDIR\): the file cannot be read/,
    ],
    [
      'a token file in a file',
      () => provider('x', { tokenFile: join(folder, 'kubeconfig.yaml', 'x') }),
      /unauthorized, ENOTDIR .*kubeconfig\.yaml\/x\): the file cannot be read/,
    ],
    [
      'a program in a file',
      () => ({ exec: { command: join(folder, 'kubeconfig.yaml', 'x') } }),
      /unauthorized, ENOTDIR .*kubeconfig\.yaml\/x\): the program .* cannot be started/,
    ],
  ] as const) {
    it(`is not confused with the API server: ${name}`, async () => {
      const config = await loadUser(getUser());
      const error = await errorOf(config);
      assert.equal(error.code, 'unauthorized');
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /canary/);
      await config.close();
    });
  }
});
