// What SIGINT and SIGTERM do to commands that run once: with real processes, on the API stand-in.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { interruptible } from '../../src/commands/interrupt.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { secretPath } from '../support/pull-secret.ts';
import { FakeSignals, parseValid } from './run-command.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

describe('a command that is interrupted', () => {
  let cluster: ApiStandIn;
  let ecr: EcrDouble;
  before(async () => {
    cluster = await startApiStandIn();
    ecr = await startEcrDouble();
  });
  after(() => Promise.all([cluster.stop(), ecr.stop()]));
  afterEach(() => cluster.faults.clear());

  function start(args: readonly string[]) {
    const child = spawn(process.execPath, [mainFile, ...args], {
      env: { PATH: process.env['PATH'], KUBECONFIG: cluster.kubeconfigPath, ...ecr.env() },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    const ended = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)]).then(
      ([[code], stdout, stderr]) => {
        process.off('exit', kill);
        return { code, stdout, stderr };
      },
    );
    return { child, ended };
  }

  const namespaces = async (number: number) =>
    await Promise.all(Array.from({ length: number }, () => cluster.createNamespace('interrupted')));
  const hasSecret = async (namespace: string) =>
    (await cluster.request('GET', secretPath(namespace))).status === 200;
  const syncOf = (names: readonly string[]) => [
    ...['sync', '--registry', host],
    ...names.flatMap((name) => ['--namespace', name]),
  ];

  /** Sends a signal when the first matching request arrives, which is answered as usual. */
  function signalAt(matches: (verb: string, resource: string) => boolean) {
    let kill: (() => void) | undefined;
    cluster.faults.hang(({ verb, resource }) => {
      if (matches(verb, resource.resource)) {
        kill?.();
        kill = undefined;
      }
      return false;
    });
    return (send: () => void) => {
      kill = send;
    };
  }

  it('sync finishes the calls in flight, starts no other, and reports what is done and what is not', async () => {
    const names = await namespaces(40);
    const arm = signalAt((verb, resource) => verb === 'patch' && resource === 'secrets');
    const { child, ended } = start([...syncOf(names), '--output', 'json']);
    arm(() => child.kill('SIGINT'));
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 130, stderr);
    const result = JSON.parse(stdout);
    assert.deepEqual([result.interrupted, result.failed], ['SIGINT', 0]);
    assert.deepEqual(
      result.namespaces.map(({ namespace }: { namespace: string }) => namespace),
      names,
    );
    let updated = 0;
    for (const { namespace, secret, serviceAccounts } of result.namespaces) {
      assert.equal(secret, (await hasSecret(namespace)) ? 'updated' : 'interrupted');
      updated += secret === 'updated' ? 1 : 0;
      const { body } = await cluster.request(
        'GET',
        `/api/v1/namespaces/${namespace}/serviceaccounts/default`,
      );
      const reference = Object(body).imagePullSecrets === undefined ? 'interrupted' : 'added';
      assert.deepEqual(serviceAccounts, [{ name: 'default', reference }]);
    }
    assert.ok(updated > 0 && updated < names.length, `${updated} of ${names.length} updated`);
  });

  it('sync starts no further change of labels either', async () => {
    const names = await namespaces(20);
    assert.equal((await start(syncOf(names)).ended).code, 0);
    const folder = await mkdtemp(join(tmpdir(), 'labels-'));
    const file = join(folder, 'config.yaml');
    await writeFile(file, stringify({ secrets: { labels: { team: 'a' } } }));
    const arm = signalAt((verb, resource) => verb === 'patch' && resource === 'secrets');
    const { child, ended } = start([...syncOf(names), '--config', file, '--output', 'json']);
    arm(() => child.kill('SIGINT'));
    const { code, stdout, stderr } = await ended;
    await rm(folder, { recursive: true });
    assert.equal(code, 130, stderr);
    const { interrupted, namespaces: results } = JSON.parse(stdout);
    assert.equal(interrupted, 'SIGINT');
    assert.ok(
      results.every(({ secret }: { secret: string }) => secret === 'unchanged'),
      'the tokens were still valid',
    );
    const labels = await Promise.all(
      names.map(async (name) => Object(await cluster.request('GET', secretPath(name))).body.metadata.labels),
    );
    const changed = labels.filter(({ team }) => team === 'a').length;
    assert.ok(changed > 0 && changed < names.length, `${changed} of ${names.length} changed`);
  });

  it('sync shows no more progress on a terminal, so that the report begins on a line of its own', async () => {
    const names = await namespaces(12);
    const signals = new FakeSignals();
    signalAt((verb, resource) => verb === 'patch' && resource === 'secrets')(() =>
      signals.emit('SIGINT', 'SIGINT'),
    );
    const shown: string[] = [];
    const folder = await mkdtemp(join(tmpdir(), 'progress-'));
    const file = join(folder, 'config.yaml');
    await writeFile(file, stringify({ kubernetes: { kubeconfig: cluster.kubeconfigPath } }));
    const code = await parseValid([...syncOf(names), '--config', file]).run({
      environment: ecr.env(),
      stdout: { write: () => undefined },
      stderr: { isTTY: true, write: (written) => shown.push(written) },
      signals,
    });
    await rm(folder, { recursive: true });
    assert.equal(code, 130);
    assert.match(shown.at(-1) ?? '', /finishing calls in flight; interrupt again to stop at once\n$/);
  });

  it('sync does not wait for ECR, and reports that in text', async () => {
    const names = await namespaces(2);
    const gate = ecr.hold();
    const { child, ended } = start(syncOf(names));
    await eventually('the call to ECR', () => gate.waiting > 0);
    const began = performance.now();
    child.kill('SIGTERM');
    const { code, stdout } = await ended;
    gate.open();
    assert.equal(code, 143);
    assert.ok(performance.now() - began < 10_000);
    assert.equal(
      stdout,
      [
        '2 namespaces: 0 Secrets updated, 0 unchanged, 0 references added',
        `interrupted by SIGTERM; 2 of 2 namespaces not completed: ${names.join(', ')}`,
        '',
      ].join('\n'),
    );
  });

  it('exits at once on a second signal', async () => {
    const names = await namespaces(1);
    let arrived = false;
    cluster.faults.hang(({ verb }) => {
      arrived ||= verb === 'patch';
      return verb === 'patch';
    });
    const { child, ended } = start(syncOf(names));
    await eventually('the write', () => arrived);
    child.kill('SIGINT');
    // the program waits for the write that hangs
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(child.exitCode, null);
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    assert.deepEqual([code, stdout], [130, '']);
  });

  it('uninstall removes no more objects, and reports each object', async () => {
    const names = await namespaces(40);
    const synced = await start(syncOf(names)).ended;
    assert.equal(synced.code, 0, synced.stderr);
    const arm = signalAt((verb, resource) => verb === 'delete' && resource === 'secrets');
    const { child, ended } = start(['uninstall', '--yes', '--output', 'json']);
    arm(() => child.kill('SIGTERM'));
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 143, stderr);
    const { interrupted, failed, removals } = JSON.parse(stdout);
    assert.deepEqual([interrupted, failed], ['SIGTERM', 0]);
    const outcomes = new Map<string, string>(
      removals
        .filter(({ kind }: { kind: string }) => kind === 'Secret')
        .map(({ namespace, outcome }: { namespace: string; outcome: string }) => [namespace, outcome]),
    );
    for (const name of names) {
      assert.equal(outcomes.get(name), (await hasSecret(name)) ? 'interrupted' : 'removed');
    }
    assert.deepEqual(new Set(outcomes.values()), new Set(['removed', 'interrupted']));
  });

  it('remove-host changes nothing before it has read which pods use the host', async () => {
    const [name = ''] = await namespaces(1);
    await start(syncOf([name])).ended;
    let arrived = false;
    cluster.faults.hang(({ verb, resource }) => {
      const isPods = verb === 'list' && resource.resource === 'pods';
      arrived ||= isPods;
      return isPods;
    });
    const { child, ended } = start(['remove-host', '--namespace', name, host]);
    await eventually('the list of pods', () => arrived);
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    assert.equal(code, 130);
    assert.match(stdout, new RegExp(`${name} +${host} +not removed: interrupted\ninterrupted by SIGINT\n$`));
    assert.ok(await hasSecret(name));
  });

  it('lists no more objects if it is interrupted before the namespaces are known', async () => {
    let arrived = false;
    cluster.faults.hang(({ verb, resource }) => {
      const isList = verb === 'list' && resource.resource === 'namespaces';
      arrived ||= isList;
      return isList;
    });
    const { child, ended } = start(['sync', '--registry', host]);
    await eventually('the list of namespaces', () => arrived);
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    assert.deepEqual([code, stdout], [130, 'interrupted by SIGINT before any namespace was synced\n']);
  });
});

describe('a command that waits for its first certificate', () => {
  let cluster: ApiStandIn;
  let folder: string;
  before(async () => {
    cluster = await startApiStandIn();
    folder = await mkdtemp(join(tmpdir(), 'first-certificate-'));
  });
  after(() => Promise.all([cluster.stop(), rm(folder, { recursive: true })]));
  afterEach(() => cluster.faults.clear());

  for (const name of ['certificates', 'serve']) {
    it(`${name} ends cleanly while the API server does not return the Secret`, async () => {
      const namespace = await cluster.createNamespace('certificates');
      let reads = 0;
      cluster.faults.hang(({ verb, resource }) => {
        const isRead = verb === 'get' && resource.resource === 'secrets';
        reads += isRead ? 1 : 0;
        return isRead;
      });
      const config = {
        certificates: { source: 'managed', namespace },
        webhook: { port: 0, shutdownDelay: '0s' },
        status: { port: 0 },
        kubernetes: { kubeconfig: cluster.kubeconfigPath, requestTimeout: '1s', writeTimeout: '31s' },
      };
      const file = join(folder, 'config.yaml');
      await writeFile(file, stringify(config));
      const child = spawn(process.execPath, [mainFile, name, '--config', file], {
        env: { PATH: process.env['PATH'] },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = Promise.all([once(child, 'exit'), text(child.stdout)]);
      try {
        await eventually('the first read', () => reads > 0, 20_000);
        child.kill('SIGTERM');
        const [exit, log] = await ended;
        assert.deepEqual(exit, [0, null], log);
        assert.match(log, /"shutdown complete"/);
        assert.equal(reads, 1, 'reads again during the shutdown');
      } finally {
        child.kill('SIGKILL');
      }
    });
  }
});

describe('signal handlers of a command', () => {
  it('are removed when the command has finished', async () => {
    const signals = new FakeSignals();
    const exitCode = await interruptible(signals, async (interrupt) => {
      assert.equal(interrupt.exitCode, undefined);
      signals.emit('SIGTERM', 'SIGTERM');
      assert.deepEqual([interrupt.signal.aborted, interrupt.received, signals.exits], [true, 'SIGTERM', []]);
      signals.emit('SIGINT', 'SIGINT');
      assert.deepEqual(signals.exits, [130]);
      return interrupt.exitCode;
    });
    assert.equal(exitCode, 143);
    assert.deepEqual(
      signals.eventNames().map((name) => signals.listenerCount(name)),
      [],
    );
  });
});
