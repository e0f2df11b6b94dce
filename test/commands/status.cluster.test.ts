// Tests status on a real API server: states, rights of the caller, filters, watching, and 1,000 namespaces.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import {
  createFailingPod,
  editAnnotation,
  host,
  issuedHoursAgo,
  reportFailure,
  storePullSecret,
} from '../diagnosis/stored-findings.ts';
import { createAccountWithRules, podsRule, secretsRule } from '../provisioning/provisioning-fixture.ts';
import { type BulkClient, createBulkClient } from '../support/bulk-requests.ts';
import { secretsPath } from '../support/pull-secret.ts';
import { runOnce } from './run-command.ts';

const other = '210987654321.dkr.ecr.us-east-1.amazonaws.com';
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

interface Row {
  readonly namespace: string;
  readonly host?: string;
  readonly state: string;
  readonly pods?: number;
  readonly error?: string;
  readonly identity?: { readonly text: string };
}

interface Shown {
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
  readonly summary: { readonly hosts: number; readonly states: Record<string, number> };
}

describeOnCluster('status', (cluster) => {
  let bulk: BulkClient;
  before(() => {
    bulk = createBulkClient(cluster().kubeconfigPath);
  });
  after(() => bulk.close());

  const show = async (
    args: readonly string[] = [],
    kubeconfigPath = cluster().kubeconfigPath,
    settings: Record<string, unknown> = {},
  ): Promise<Shown> => {
    const { code, stdout } = await runOnce(['status', ...args, '--output', 'json'], kubeconfigPath, settings);
    assert.equal(code, 0);
    return JSON.parse(stdout);
  };

  it('shows each host and each problem with its cause, identity and pods', async () => {
    const [shop, cart, unmanaged, edited] = [
      await cluster().createNamespace('shop'),
      await cluster().createNamespace('cart'),
      await cluster().createNamespace('unmanaged'),
      await cluster().createNamespace('edited'),
    ];
    await storePullSecret(
      cluster(),
      shop,
      new Map([
        [host, issuedHoursAgo(1)],
        [other, undefined],
      ]),
    );
    await reportFailure(cluster(), shop, `${other}: AWS returned AccessDeniedException`);
    await storePullSecret(cluster(), cart, new Map([[host, issuedHoursAgo(13)]]));
    await cluster().request('POST', secretsPath(unmanaged), {
      metadata: { name: 'ecr-pull-secrets' },
    });
    await storePullSecret(cluster(), edited, new Map([[host, issuedHoursAgo(1)]]));
    await editAnnotation(cluster(), edited, { [host]: null });
    await createFailingPod(cluster(), shop);
    await createFailingPod(cluster(), shop);
    const lost = await createFailingPod(cluster(), cart, { hasReference: false });

    const registries = [
      { namespaces: { names: [shop] }, roleArn: 'arn:aws:iam::111122223333:role/{namespace}' },
    ];
    const namespaces = [shop, cart, unmanaged, edited].flatMap((name) => ['--namespace', name]);
    const { rows, notes } = await show(namespaces, undefined, { registries });
    const find = (namespace: string, state: string) =>
      rows.find((row) => row.namespace === namespace && row.state === state);
    assert.equal(find(shop, 'failing')?.error, 'AWS returned AccessDeniedException');
    const role = `arn:aws:iam::111122223333:role/${shop}`;
    assert.equal(find(shop, 'failing')?.identity?.text, role);
    // Another identity applies than the one that fetched the token.
    assert.deepEqual([find(shop, 'due')?.host, find(shop, 'due')?.pods], [host, 2]);
    assert.equal(find(cart, 'expired')?.host, host);
    assert.equal(find(cart, 'uninjected')?.pods, 1);
    assert.equal(find(unmanaged, 'wrong-type')?.host, undefined);
    assert.match(find(edited, 'edited')?.error ?? '', /changed its content/);
    assert.equal(find(edited, 'waiting')?.host, host);
    assert.deepEqual(notes, []);
    const wide = await runOnce(['status', '--output', 'wide', '--namespace', cart], cluster().kubeconfigPath);
    assert.match(wide.stdout, new RegExp(lost));

    const filtered = await show([...namespaces, '--state', 'expired', '--state', 'failing']);
    assert.deepEqual(
      filtered.rows.map(({ state }) => state),
      ['expired', 'failing'],
    );
    const byHost = await show([...namespaces, '--host', `${other.slice(0, 12)}*`]);
    assert.deepEqual(
      byHost.rows.map((row) => row.host),
      [other],
    );
    const withoutCatchUp = await show(['--namespace', cart], undefined, { catchUp: { enabled: false } });
    assert.deepEqual(
      [withoutCatchUp.rows.map(({ state }) => state), withoutCatchUp.notes.length],
      [['expired'], 1],
    );
    const byPattern = await show(['--namespace', `${cart.slice(0, -1)}*`]);
    assert.deepEqual([...new Set(byPattern.rows.map(({ namespace }) => namespace))], [cart]);
  });

  it("works with the program's rights, and with those of a developer in one namespace", async () => {
    const namespace = await cluster().createNamespace();
    await storePullSecret(cluster(), namespace, new Map([[host, issuedHoursAgo(1)]]));
    await createFailingPod(cluster(), namespace);
    const program = await createAccountWithRules(cluster(), [secretsRule, podsRule]);
    const inside = await show([], program);
    assert.equal(inside.rows.find((row) => row.namespace === namespace)?.pods, 1);
    assert.deepEqual(inside.notes, ['there is no right to list events, so some errors are missing']);

    const developer = await createAccountWithRules(
      cluster(),
      [{ apiGroups: [''], resources: ['secrets', 'pods', 'events'], verbs: ['list'] }],
      namespace,
    );
    const own = await show(['--namespace', namespace], developer);
    assert.deepEqual(
      own.rows.map(({ state, pods }) => [state, pods]),
      [['valid', 1]],
    );
    assert.deepEqual(own.notes, []);
    await assert.rejects(
      runOnce(['status'], developer),
      /you may not list Secrets named ecr-pull-secrets in all namespaces; .+ with --namespace/,
    );
  });

  it('is shown again with --watch, and ends on SIGINT without an error', async () => {
    const args = ['status', '--watch', '--output', 'json', '--kubeconfig', cluster().kubeconfigPath];
    const child = spawn(process.execPath, [mainFile, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const errors: string[] = [];
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk.toString()));
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      assert.ok(Array.isArray(JSON.parse(line).rows));
      lines += 1;
      if (lines === 2) {
        break;
      }
    }
    assert.equal(lines, 2);
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    assert.deepEqual([code, errors.join('')], [130, '']);
  });

  it('ends with --watch when nobody reads its output any more', async (t) => {
    const args = ['status', '--watch', '--output', 'json', '--kubeconfig', cluster().kubeconfigPath];
    const child = spawn(process.execPath, [mainFile, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    child.stdout.destroy();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('shows 1,000 namespaces within five seconds, and doctor checks them within five', async (t) => {
    const names = Array.from({ length: 1000 }, (_, index) => `many-${index}`);
    await bulk.createNamespaces(names);
    await bulk.storeSecrets(
      names,
      new Map([
        [host, issuedHoursAgo(1)],
        [other, issuedHoursAgo(1)],
      ]),
    );
    const startedAt = performance.now();
    const { summary } = await show();
    const seconds = (performance.now() - startedAt) / 1000;
    assert.ok(summary.hosts >= 2000, JSON.stringify(summary));
    assert.ok(seconds <= 5, `${seconds.toFixed(1)} s`);
    const checkedAt = performance.now();
    const groups = ['secrets', 'pods', 'provisioning'].flatMap((name) => ['--group', name]);
    const { stdout } = await runOnce(['doctor', ...groups, '--output', 'json'], cluster().kubeconfigPath);
    const checkSeconds = (performance.now() - checkedAt) / 1000;
    assert.ok(JSON.parse(stdout).timeline.length >= 2000);
    assert.ok(checkSeconds <= 5, `${checkSeconds.toFixed(1)} s`);
    t.diagnostic(`status ${seconds.toFixed(1)} s, doctor ${checkSeconds.toFixed(1)} s`);
  });
});
