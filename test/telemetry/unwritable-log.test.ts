// Tests that the whole program continues and exits properly if its output cannot be written.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpsRequest } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount } from '../support/installation.ts';
import { createCertificateFiles } from '../support/program.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** A pod's name of 900 KB, which is more than a pipe holds. */
const longName = 'a-b '.repeat(225_000);

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Runs `ecr-pull-secrets serve` with an unusable standard output, and observes it through its ports. */
describe('the program with a log that cannot be written', () => {
  let cluster: ApiStandIn;
  let ecr: EcrDouble;
  let account: string;
  let directory: string;
  let caPem: string;
  before(async () => {
    cluster = await startApiStandIn();
    ecr = await startEcrDouble();
    account = await installServiceAccount(cluster);
    directory = await mkdtemp(join(tmpdir(), 'log-'));
    ({ caPem } = await createCertificateFiles(directory));
  });
  after(async () => {
    await Promise.all([ecr.stop(), cluster.stop()]);
    await rm(directory, { recursive: true, force: true });
  });

  async function start(stdout: 'pipe' | number) {
    const [webhookPort, statusPort] = [await freePort(), await freePort()];
    const configFile = join(directory, `${webhookPort}.yaml`);
    const config = {
      webhook: {
        address: '127.0.0.1',
        port: webhookPort,
        certFile: join(directory, 'tls.crt'),
        keyFile: join(directory, 'tls.key'),
        shutdownDelay: '0s',
      },
      status: { address: '127.0.0.1', port: statusPort },
      kubernetes: { kubeconfig: account },
    };
    await writeFile(configFile, stringify(config));
    const child = spawn(process.execPath, [mainFile, 'serve', '--config', configFile], {
      env: { PATH: process.env['PATH'], ...ecr.env() },
      stdio: ['ignore', stdout, 'pipe'],
    });
    process.once('exit', () => child.kill('SIGKILL'));
    const status = `http://127.0.0.1:${statusPort}`;
    await eventually('it is ready', async () => (await fetch(`${status}/readyz`)).ok, 30_000);
    return { child, status, webhook: `https://127.0.0.1:${webhookPort}/mutate?timeout=5s` };
  }

  const agent = new Agent({ keepAlive: true });
  after(() => agent.destroy());

  async function review(webhook: string, name: string): Promise<string> {
    const request = httpsRequest(webhook, {
      method: 'POST',
      ca: caPem,
      agent,
      headers: { 'content-type': 'application/json' },
    });
    const image = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:1';
    const pod = { metadata: { name }, spec: { containers: [{ image }] } };
    request.end(JSON.stringify(buildPodReview(pod, { namespace: 'shop' })));
    const [response] = await once(request, 'response');
    return await text(response);
  }

  const droppedLines = async (status: string) =>
    Number(/^ecr_pull_secrets_log_lines_dropped_total (\d+)$/m.exec(await metricsOf(status))?.[1]);
  const metricsOf = async (status: string) => await (await fetch(`${status}/metrics`)).text();

  /** Checks that it responds to requests, probes and scrapes, counts dropped lines, and exits within seconds after a signal. */
  async function checkServesUntilSignal({ child, status, webhook }: Awaited<ReturnType<typeof start>>) {
    for (let at = 0; at < 1_000 && !((await droppedLines(status)) > 0); at += 1) {
      for (let burst = 0; burst < 20; burst += 1) {
        const answer = JSON.parse(await review(webhook, burst === 0 ? longName : 'x '.repeat(2_000)));
        assert.equal(answer.response.allowed, true);
        assert.ok(answer.response.patch !== undefined);
      }
    }
    assert.ok((await droppedLines(status)) > 0);
    assert.equal((await fetch(`${status}/healthz`)).status, 200);
    assert.equal(await endOf(child), 0);
  }

  async function endOf(child: ChildProcess): Promise<number | null> {
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(30_000) });
    child.kill('SIGTERM');
    return (await ended)[0];
  }

  it('serves and exits with a full disk at standard output', async () => {
    const full = openSync('/dev/full', 'w');
    const program = await start(full);
    closeSync(full);
    await checkServesUntilSignal(program);
  });

  it('serves and exits when the reader of standard output is gone', async () => {
    const program = await start('pipe');
    program.child.stdout?.destroy();
    await checkServesUntilSignal(program);
  });

  it('serves and exits when the reader of standard output reads nothing', async () => {
    const program = await start('pipe');
    await checkServesUntilSignal(program);
    program.child.stdout?.destroy();
  });

  it('serves and exits when both streams have a full disk', async () => {
    const full = openSync('/dev/full', 'w');
    const program = await start(full);
    closeSync(full);
    program.child.stderr?.destroy();
    await checkServesUntilSignal(program);
  });

  it('logs a pod with a name of 900 KB on one line, without the name', async () => {
    const file = join(directory, 'stdout');
    const output = openSync(file, 'w');
    const { child, webhook } = await start(output);
    closeSync(output);
    await review(webhook, longName);
    assert.equal(await endOf(child), 0);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const pods = lines
      .map((line) => JSON.parse(line))
      .filter(({ msg }) => msg === 'handled admission request');
    assert.deepEqual(
      pods.map(({ pod }) => pod),
      [`[${longName.length} characters]`],
    );
    assert.ok(lines.every(({ length }) => length < 2_000));
  });

  it('keeps the exit code of a command if its messages cannot be written, and fails if its result cannot', () => {
    const full = openSync('/dev/full', 'w');
    const statusOf = (args: readonly string[], stdout: 'pipe' | number, stderr: 'pipe' | number) =>
      spawnSync(process.execPath, [mainFile, ...args], { stdio: ['ignore', stdout, stderr], timeout: 30_000 })
        .status;
    assert.equal(statusOf(['--no-such-flag'], 'pipe', full), 2);
    assert.equal(statusOf(['sync', '--config', '/no/such/file'], 'pipe', full), 2);
    assert.equal(statusOf(['--version'], full, 'pipe'), 1);
    closeSync(full);
  });

  it('writes neither a credential nor a control character to a terminal', () => {
    const { stderr } = spawnSync(
      process.execPath,
      [mainFile, 'sync', '--config', '/no/\u001b]0;x\u0007/AKIAEXAMPLEEXAMPLE12'],
      { encoding: 'utf8', timeout: 30_000 },
    );
    assert.match(stderr, /\/no\/<U\+001B>\]0;x<U\+0007>\/\[redacted\]/);
  });
});
