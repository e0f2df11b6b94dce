// Tests what an operator does to the whole process and sees of it: readiness, shutdown, certificates, outages.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { RequestMatcher } from './doubles/api-server/api-faults.ts';
import { type ApiStandIn, startApiStandIn } from './doubles/api-server/api-stand-in.ts';
import { type EcrDouble, startEcrDouble } from './doubles/ecr/ecr-double.ts';
import { eventually } from './support/eventually.ts';
import { installServiceAccount } from './support/installation.ts';
import {
  createCertificateFiles,
  type ProgramOptions,
  type RunningProgram,
  startProgram,
} from './support/program.ts';
import { buildPodReview } from './webhook/admission-reviews.ts';

/** The whole process, between the stand-ins: what an operator does to it and sees of it. */
describe('the program', () => {
  let cluster: ApiStandIn;
  let ecr: EcrDouble;
  let account: string;
  before(async () => {
    cluster = await startApiStandIn();
    ecr = await startEcrDouble();
    account = await installServiceAccount(cluster);
  });
  after(async () => {
    await ecr.stop();
    await cluster.stop();
  });

  const start = (options: Partial<ProgramOptions> = {}) =>
    startProgram({ kubeconfigPath: account, environment: ecr.env(), ...options });

  interface ReviewOptions {
    readonly agent?: Agent;
    readonly caPem?: string;
    readonly region?: string;
  }

  /** Sends the admission request of a pod as the API server does. */
  async function review(program: RunningProgram, namespace: string, options: ReviewOptions = {}) {
    const { agent, caPem = program.caPem, region = 'eu-central-1' } = options;
    const request = httpsRequest(`${program.webhookUrl}?timeout=5s`, {
      method: 'POST',
      ca: caPem,
      headers: { 'content-type': 'application/json' },
      ...(agent !== undefined && { agent }),
    });
    const image = `123456789012.dkr.ecr.${region}.amazonaws.com/app:1`;
    request.end(JSON.stringify(buildPodReview({ spec: { containers: [{ image }] } }, { namespace })));
    const [response] = await once(request, 'response');
    return {
      status: response.statusCode,
      body: await text(response),
      kept: request.reusedSocket,
      connection: response.headers.connection,
    };
  }

  const readiness = async ({ statusUrl }: RunningProgram) => {
    const response = await fetch(`${statusUrl}/readyz`);
    return { status: response.status, text: await response.text() };
  };

  it('is live but not ready until it is in sync with the API server, and then stays ready for a while without it', async () => {
    cluster.faults.failNext(500, { count: 5, match: ({ verb }) => verb === 'list' });
    const program = await start({ waitUntilReady: false });
    assert.deepEqual(await readiness(program), { status: 503, text: 'not in sync with the API server\n' });
    assert.equal((await fetch(`${program.statusUrl}/healthz`)).status, 200);
    await eventually('it is ready', async () => (await readiness(program)).status === 200);
    assert.match(await program.metrics(), /ecr_pull_secrets_watch_failures_total\{code="server-error"\} 5/);
    const failures = program.log().filter(({ level }) => level === 'warn');
    assert.deepEqual(
      [failures.length, new Set(failures.map(({ msg }) => msg))],
      [5, new Set(['failed to list pull Secrets; will retry'])],
    );
    await cluster.takeDown();
    assert.equal((await readiness(program)).status, 200);
    await cluster.bringUp();
    await program.stop();
  });

  it('listens on the address in a flag instead of that of the configuration', async () => {
    const program = await start({
      config: { webhook: { address: '192.0.2.1' } },
      flags: ['--webhook-address', '127.0.0.1'],
    });
    assert.equal(new URL(program.webhookUrl).hostname, '127.0.0.1');
    assert.equal((await review(program, await cluster.createNamespace())).status, 200);
    await program.stop();
  });

  it('logs its AWS identity, and shows whether the AWS credentials are valid', async () => {
    const valid = await start();
    const line = await eventually('the identity is logged', () =>
      valid.log().find(({ msg }) => msg === 'the AWS credentials are valid'),
    );
    assert.deepEqual(
      [line['arn'], line['account'], line['provider']],
      ['arn:aws:iam::123456789012:user/example', '123456789012', 'environment'],
    );
    assert.match(await valid.metrics(), /^ecr_pull_secrets_aws_credentials_ok\{identity="default"\} 1$/m);
    await valid.stop();
    const without = await start({ environment: { ...ecr.env(), AWS_ACCESS_KEY_ID: '' } });
    const failure = await eventually('the failure is logged', () =>
      without.log().find(({ msg }) => msg === 'failed to get the AWS identity; will retry'),
    );
    assert.match(JSON.stringify(failure['err']), /no AWS credentials\. Provide AWS credentials/);
    assert.match(await without.metrics(), /^ecr_pull_secrets_aws_credentials_ok\{identity="default"\} 0$/m);
    assert.equal((await readiness(without)).status, 200);
    await without.stop();
  });

  it('exits with 0 on SIGTERM: is not ready, closes each connection after its response, and loses no request', async () => {
    const namespace = await cluster.createNamespace();
    const program = await start({ config: { webhook: { shutdownDelay: '1s' } } });
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    await review(program, namespace, { agent });
    program.signal('SIGTERM');
    await eventually('it is draining', async () => (await readiness(program)).text.includes('draining'));
    const late = await Promise.all(Array.from({ length: 8 }, () => review(program, namespace, { agent })));
    assert.ok(late.every(({ status, connection }) => status === 200 && connection === 'close'));
    assert.equal(await program.exited, 0);
    assert.ok(
      program.log().some((line) => line['msg'] === 'shutdown complete'),
      'what was logged last is written',
    );
    agent.destroy();
  });

  it('serves with a new certificate when a mounted Secret is swapped, and drops no connection', async () => {
    const mount = await mkdtemp(join(tmpdir(), 'mount-'));
    const issue = async (version: string) => {
      await mkdir(join(mount, version));
      return await createCertificateFiles(join(mount, version));
    };
    // as the kubelet does: tls.crt → ..data/tls.crt, ..data → VERSION, replaced by a rename
    const first = await issue('..v1');
    await symlink('..v1', join(mount, '..data'));
    await symlink('..data/tls.crt', join(mount, 'tls.crt'));
    await symlink('..data/tls.key', join(mount, 'tls.key'));
    const namespace = await cluster.createNamespace();
    const program = await start({ certificates: { directory: mount, caPem: first.caPem } });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await review(program, namespace, { agent });

    const second = await issue('..v2');
    await symlink('..v2', join(mount, '..data_tmp'));
    await rename(join(mount, '..data_tmp'), join(mount, '..data'));
    await eventually('new connections get the new certificate', async () => {
      return (await review(program, namespace, { caPem: second.caPem })).status === 200;
    });
    const kept = await review(program, namespace, { agent });
    assert.deepEqual([kept.status, kept.kept], [200, true]);
    agent.destroy();
    await program.stop();
    await rm(mount, { recursive: true, force: true });
  });

  it('responds in time while the API server is unavailable, and needs no restart when it is back', async () => {
    const namespace = await cluster.createNamespace();
    const program = await start({ config: { kubernetes: { kubeconfig: account, requestTimeout: '1s' } } });
    await cluster.takeDown();
    const during = JSON.parse((await review(program, namespace)).body);
    assert.equal(during.response.allowed, true);
    assert.ok(during.response.patch);
    assert.match(during.response.warnings[0], /timed out|API server: network/);
    await cluster.bringUp();
    await eventually('the Secret is there', async () => {
      await review(program, namespace);
      return cluster.getStored(`/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets`) !== undefined;
    });
    await program.stop();
  });

  it('shows no token and no key after any failure', async () => {
    const namespace = await cluster.createNamespace();
    const program = await start({ config: { log: { level: 'trace' } } });
    const results: string[] = [];
    const secretRequests: RequestMatcher = ({ resource }) => resource.resource === 'secrets';
    for (const status of [403, 409, 422, 500]) {
      // a response that quotes the request, as some admission webhooks do
      const message = `refused: ${ecr.secrets().join(' ')} ${'QUJD'.repeat(200)}`;
      cluster.faults.failNext(status, { count: 3, match: secretRequests, message });
      results.push((await review(program, namespace)).body);
    }
    const faults = ['not-base64', 'wrong-user', 'expired', 'html', 'reset'] as const;
    for (const [index, fault] of faults.entries()) {
      ecr.fail(fault);
      results.push((await review(program, namespace, { region: `us-west-${index}` })).body);
      ecr.heal();
    }
    await eventually('there is something to show', () =>
      ['KubeError', 'TokenError'].every((kind) => program.output().includes(kind)),
    );
    const shown = [program.output(), await program.metrics(), ...results].join('\n');
    for (const secret of [...ecr.secrets(), 'QUJD'.repeat(20)]) {
      assert.ok(!shown.includes(secret), `${secret.slice(0, 8)}… shows`);
      assert.ok(!shown.includes(btoa(secret).slice(0, 24)));
    }
    await program.stop();
  });
});
