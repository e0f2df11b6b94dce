// Tests that replicas share renewals, also when one of them is killed.
import assert from 'node:assert/strict';
import { after, before, it, type TestContext } from 'node:test';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { type BulkClient, createBulkClient } from '../support/bulk-requests.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount } from '../support/installation.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret } from '../support/pull-secret.ts';

const replicas = 3;
const namespaceCount = 300;
const regions = ['eu-central-1', 'us-east-1'];
const hosts = regions.map(hostIn);

/** Maximum percentage of Secrets that two replicas may write at the same moment. */
const maxRenewedTwicePercent = 3;

/** Minimum percentage of Secrets that each remaining replica renews, which shows that they share the work. */
const minSharePercent = 10;

/**
 * Long enough that no Secret is due a second time within the test. The schedule spreads what is due at once over 4.5 % of it,
 * which is 14 s.
 */
const tokenLifetimeMs = 300_000;

/** Three processes that share nothing but the API server. One of them is killed. */
describeOnCluster('three replicas, one of them killed while they renew 300 namespaces', (cluster) => {
  let bulkClient: BulkClient;
  before(() => {
    bulkClient = createBulkClient(cluster().kubeconfigPath);
  });
  after(() => bulkClient.close());

  it('renew all of them on schedule, each once', async (t) => {
    const dueInMs = 8_000; // until then, all three are running
    await assertAllRenewed(t, 'in-step', dueInMs);
  });

  it('share what became due while no replica was running, each once', async (t) => {
    await assertAllRenewed(t, 'overdue', -tokenLifetimeMs / 4);
  });

  async function assertAllRenewed(t: TestContext, prefix: string, dueInMs: number): Promise<void> {
    const ecr = await startEcrDouble({ tokenLifetimeMs });
    t.after(() => ecr.stop());
    const namespaces = Array.from({ length: namespaceCount }, (_, index) => `${prefix}-${index}`);
    await bulkClient.createNamespaces(namespaces);
    const issuedAt = Date.now() + dueInMs - tokenLifetimeMs / 2;
    const lifetime = { issuedAt, expiresAt: issuedAt + tokenLifetimeMs };
    await bulkClient.storeSecrets(namespaces, new Map(hosts.map((host) => [host, lifetime])));
    const { uids, writes } = await watchWrites(t, namespaces);
    assert.equal(uids.size, namespaceCount);

    const account = await installServiceAccount(cluster());
    const programs = await Promise.all(Array.from({ length: replicas }, () => start(account, ecr)));
    t.after(() => Promise.all(programs.map((program) => program.stop())));
    const [victim, ...survivors] = programs;
    await eventually('a third is renewed', () => writes.size >= namespaceCount / 3, 60_000);
    victim?.signal('SIGKILL');
    await victim?.exited;
    assert.ok(writes.size < namespaceCount / 2, 'it was killed during the renewals');
    await eventually('all are renewed', () => writes.size === namespaceCount, 60_000);
    await eventually('nothing is in flight', () => nothingDue(survivors));

    for (const namespace of namespaces) {
      const secret = await readPullSecret(cluster(), namespace);
      assert.equal(secret?.uid, uids.get(namespace));
      assert.deepEqual(Object.keys(secret?.auths ?? {}), hosts);
      for (const { auth = '' } of Object.values(secret?.auths ?? {})) {
        assert.ok(ecr.isUnexpired(atob(auth).replace(/^AWS:/, '')), `${namespace} has valid tokens`);
      }
    }
    const writtenTwice = [...writes.values()].filter((versions) => versions.size > 1).length;
    assert.ok(
      writtenTwice <= (namespaceCount * maxRenewedTwicePercent) / 100,
      `${writtenTwice} written more than once`,
    );
    const shares = survivors.map((program) => renewedBy(program));
    assert.ok(Math.min(...shares) >= (namespaceCount * minSharePercent) / 100, `${shares} renewed by each`);
    for (const region of regions) {
      const calls = ecr.callsOf('GetAuthorizationToken').filter((call) => call.region === region).length;
      assert.ok(calls <= replicas, `${calls} calls for ${region}`);
    }
  }

  /** Watches as the administrator: the UID of each Secret, and the versions after the first one. */
  async function watchWrites(t: TestContext, namespaces: readonly string[]) {
    const uids = new Map<string, string>();
    const writes = new Map<string, Set<string>>();
    const config = loadKubeConfig({
      kubeconfigPath: cluster().kubeconfigPath,
      requestTimeoutMs: 10_000,
      userAgent: 'test',
    });
    const watch = watchSecretMetadata({
      config,
      name: 'ecr-pull-secrets',
      handler: {
        replace: (items) => {
          for (const { namespace, uid } of items) {
            if (namespaces.includes(namespace)) {
              uids.set(namespace, uid);
            }
          }
        },
        set: ({ namespace, resourceVersion }) => {
          if (uids.has(namespace)) {
            writes.set(namespace, (writes.get(namespace) ?? new Set()).add(resourceVersion));
          }
        },
        remove: () => undefined,
      },
    });
    t.after(async () => {
      await watch.stop();
      await config.close();
    });
    await watch.start();
    return { uids, writes };
  }
});

function start(kubeconfigPath: string, ecr: EcrDouble): Promise<RunningProgram> {
  return startProgram({
    kubeconfigPath,
    environment: ecr.env(),
    config: { tokens: { minimumLife: '1s' }, renewal: { writesPerSecond: 15 }, log: { level: 'info' } },
  });
}

async function nothingDue(programs: readonly RunningProgram[]): Promise<boolean> {
  const metrics = await Promise.all(programs.map((program) => program.metrics()));
  return metrics.every((text) => /^ecr_pull_secrets_renewals_due 0$/m.test(text));
}

function renewedBy(program: RunningProgram): number {
  return program.log().filter(({ msg }) => msg === 'pull Secret renewed').length;
}
