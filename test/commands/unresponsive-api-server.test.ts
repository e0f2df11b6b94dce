// Tests what doctor image reports if the API server does not respond, refuses, or is waited for when the user interrupts.
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, describe, it } from 'node:test';
import type { Chain } from '../../src/diagnosis/chain.ts';
import type { CheckResult } from '../../src/diagnosis/check.ts';
import { type RawServer, startRawServer } from '../kube/raw-server.ts';
import { FakeSignals, runOnce } from './run-command.ts';

const image = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/cart:1';
const quick = { kubernetes: { requestTimeout: '1s' } };

function respond(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function forbid(response: ServerResponse): void {
  respond(response, 403, { kind: 'Status', status: 'Failure', reason: 'Forbidden', code: 403 });
}

describe('doctor image', () => {
  let server: RawServer;
  afterEach(() => server.stop());

  /** Starts an API server that tells its version, and responds to everything else as the test says. */
  async function start(
    answer: (response: ServerResponse, path: string, request: IncomingMessage) => void,
  ): Promise<void> {
    server = await startRawServer((request, response, { pathname }) =>
      pathname === '/version'
        ? respond(response, 200, { gitVersion: 'v1.37.2' })
        : answer(response, pathname, request),
    );
  }

  const examine = async (
    args: readonly string[],
    signals = new FakeSignals(),
  ): Promise<{ code: number; checks: readonly CheckResult[] }> => {
    const command = ['doctor', 'image', image, ...args, '--output', 'json'];
    const { code, stdout } = await runOnce(command, server.kubeconfigPath, quick, signals);
    const { parts }: Chain = JSON.parse(stdout);
    return { code, checks: parts.flatMap(({ checks }) => checks) };
  };
  const failuresOf = (checks: readonly CheckResult[]) =>
    checks.filter(({ outcome }) => outcome === 'failed').map(({ check, summary }) => `${check}: ${summary}`);

  for (const args of [[], ['--namespace', 'shop']]) {
    it(`fails if the API server does not respond (${args.join(' ') || 'any namespace'})`, async () => {
      server = await startRawServer(() => undefined);
      const { code, checks } = await examine(args);
      assert.equal(code, 1);
      const [first = '', ...others] = failuresOf(checks);
      assert.match(first, /^api-server-reachable: the API server at http:.+ does not respond$/);
      assert.deepEqual(others, []);
    });

    it(`fails if the API server does not respond to what decides (${args.join(' ') || 'any namespace'})`, async () => {
      await start((response, path) => (path.endsWith('/secrets') ? undefined : forbid(response)));
      const { code, checks } = await examine(args);
      assert.equal(code, 1, JSON.stringify(checks));
      assert.match(
        failuresOf(checks)[0] ?? '',
        /^pull-secret: .+ the request to list secrets .+ \(timeout\)/,
      );
    });

    it(`skips what the caller may not read (${args.join(' ') || 'any namespace'})`, async () => {
      await start(forbid);
      const { code, checks } = await examine(args);
      assert.equal(code, 0, JSON.stringify(checks));
      assert.equal(checks.find(({ check }) => check === 'pull-secret')?.outcome, 'skipped');
    });
  }

  it('ends at once when it is interrupted while the Secret is read, and says so', async () => {
    const signals = new FakeSignals();
    await start((response, path) => {
      if (path.endsWith('/secrets/ecr-pull-secrets')) {
        signals.emit('SIGINT', 'SIGINT'); // and never respond
      } else if (!path.endsWith('/secrets')) {
        forbid(response);
      }
    });
    const startedAt = performance.now();
    const command = ['doctor', 'image', image, '--namespace', 'shop', '--output', 'json'];
    const { code, stdout } = await runOnce(command, server.kubeconfigPath, {}, signals);
    assert.ok(performance.now() - startedAt < 5_000);
    assert.equal(code, 130);
    assert.match(stdout, /the request to list secrets named ecr-pull-secrets was interrupted/);
    assert.doesNotMatch(stdout, /unknown|"failed"/);
  });
});
