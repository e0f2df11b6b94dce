// Tests the operator's labels and annotations on pull Secrets, on any API server.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { removeHosts } from '../../src/commands/remove-host.ts';
import { resolveRegistries } from '../../src/ecr/registry.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { runOnce } from '../commands/run-command.ts';
import { secretsRule } from '../provisioning/provisioning-fixture.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { secretPath } from '../support/pull-secret.ts';
import { resolveRegistry } from '../support/registries.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { declareHousekeepingReplicas, type HousekeepingFixture } from './housekeeping-fixture.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const registries = resolveRegistries([host], resolveRegistry);
/** A write of these changes a Secret that has a token for {@link registries}. */
const moreRegistries = resolveRegistries(['210987654321.dkr.ecr.us-east-1.amazonaws.com'], resolveRegistry);
const thirdHost = '210987654321.dkr.ecr.eu-west-1.amazonaws.com';
const own = { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' };
const hostsKey = 'ecr-pull-secrets.io/hosts';
const merged = { contentType: 'application/merge-patch+json' };

describeOnEachApiServer('labels and annotations of pull Secrets', labelsSuite);

/** What the program sets and removes, on any API server. */
function labelsSuite(apiServer: () => TestApiServer): void {
  const { start } = declareHousekeepingReplicas(apiServer, [secretsRule]);
  const startReplica = (labels: object, annotations: object = {}) =>
    start({ secrets: { labels, annotations } });
  const readMetadata = async (namespace: string) => {
    const { body } = await apiServer().request('GET', secretPath(namespace));
    const { labels, annotations, resourceVersion } = (body as SecretBody).metadata;
    const { [hostsKey]: _, ...others } = annotations;
    return { labels, annotations: others, resourceVersion };
  };
  const change = async (namespace: string, metadata: object) => {
    const { status } = await apiServer().request('PATCH', secretPath(namespace), { metadata }, merged);
    assert.equal(status, 200);
  };
  const isCached = (one: HousekeepingFixture, namespace: string, version: string) =>
    eventually('the cache has the change', () => {
      return one.secretCache.get(namespace)?.resourceVersion === version;
    });

  it('are part of the first write, which policies of the cluster check', async () => {
    const namespace = await apiServer().createNamespace();
    const one = await startReplica({ team: 'platform' }, { 'example.com/owner': 'a b' });
    assert.deepEqual(await one.secrets.ensure(namespace, registries), []);
    const { labels, annotations } = await readMetadata(namespace);
    assert.deepEqual(labels, { ...own, team: 'platform' });
    assert.deepEqual(annotations, { 'example.com/owner': 'a b' });
  });

  it('are part of each later write, which restores what another client changed', async () => {
    const namespace = await apiServer().createNamespace();
    const one = await startReplica({ team: 'platform' });
    await one.secrets.ensure(namespace, registries);
    await change(namespace, { labels: { team: 'x', other: 'y' } });
    await one.secrets.ensure(namespace, moreRegistries);
    assert.deepEqual((await readMetadata(namespace)).labels, { ...own, team: 'platform', other: 'y' });
  });

  it('are set on existing Secrets by the rollout, once and without a change of the tokens', async () => {
    const namespace = await apiServer().createNamespace();
    const before = await startReplica({ old: '1', team: 'a' }, { note: 'x' });
    await before.secrets.ensure(namespace, registries);
    await change(namespace, { labels: { theirs: 'y' } });
    const { body } = await apiServer().request('GET', secretPath(namespace));
    const [one, two] = [await startReplica({ team: 'b' }), await startReplica({ team: 'b' })];
    await one.metadataRollout.run();
    const changed = await readMetadata(namespace);
    assert.deepEqual(changed.labels, { ...own, team: 'b', theirs: 'y' });
    assert.deepEqual(changed.annotations, {});
    await isCached(two, namespace, changed.resourceVersion);
    await two.metadataRollout.run();
    const { body: after } = await apiServer().request('GET', secretPath(namespace));
    assert.equal((after as SecretBody).metadata.resourceVersion, changed.resourceVersion);
    assert.deepEqual((after as SecretBody).data, (body as SecretBody).data);
    const [managed] = [one, two].map(({ secretCache }) => secretCache.get(namespace));
    assert.deepEqual([managed?.isIntact, managed?.hasOutdatedMetadata], [true, undefined]);
  });

  it('are removed by the rollout when there are no settings any more, and later writes succeed', async () => {
    const namespace = await apiServer().createNamespace();
    const before = await startReplica({ team: 'a' }, { note: 'x' });
    await before.secrets.ensure(namespace, registries);
    await before.secrets.ensure(namespace, moreRegistries); // now two field managers own the label
    const one = await startReplica({});
    await one.metadataRollout.run();
    const changed = await readMetadata(namespace);
    assert.deepEqual([changed.labels, changed.annotations], [own, {}]);
    await one.secrets.ensure(namespace, resolveRegistries([thirdHost], resolveRegistry));
    assert.deepEqual((await readMetadata(namespace)).labels, own);
    assert.equal(one.secretCache.get(namespace)?.isIntact, true);
  });

  it('cause no endless writes if another controller sets another value', async () => {
    const namespace = await apiServer().createNamespace();
    const before = await startReplica({});
    await before.secrets.ensure(namespace, registries);
    const one = await startReplica({ team: 'b' });
    let writes = 0;
    for (let round = 0; round < 5; round += 1) {
      await change(namespace, { labels: { team: 'theirs', round: String(round) } });
      const { resourceVersion } = await readMetadata(namespace);
      await isCached(one, namespace, resourceVersion);
      if (round === 0) {
        one.metadataRollout.start(0);
      }
      await eventually('the rollout is done', () =>
        one.log.some(({ msg }) => msg === 'set the labels and annotations of pull Secrets'),
      );
      writes += (await readMetadata(namespace)).resourceVersion === resourceVersion ? 0 : 1;
      one.advanceClocks(60_000);
      await one.round();
    }
    assert.equal(writes, 1);
    assert.deepEqual((await readMetadata(namespace)).labels, { ...own, team: 'theirs', round: '4' });
  });

  it('are kept by remove-host, and set by sync', async () => {
    const namespace = await apiServer().createNamespace();
    const settings = { secrets: { labels: { team: 'a' } } };
    const { kubeconfigPath } = apiServer();
    const sync = async (more: Record<string, unknown>) => {
      const { code, stdout } = await runOnce(
        ['sync', '--namespace', namespace, '--registry', host],
        kubeconfigPath,
        more,
      );
      assert.equal(code, 0, stdout);
    };
    await sync({});
    assert.deepEqual((await readMetadata(namespace)).labels, own);
    await sync(settings);
    assert.deepEqual((await readMetadata(namespace)).labels, { ...own, team: 'a' });
    const config = loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 10_000, userAgent: 'test' });
    await removeHosts({
      ...{ config, secretName: 'ecr-pull-secrets', namespace, hosts: [host], configured: [], dryRun: false },
      operatorMetadata: { labels: { team: 'a' }, annotations: {} },
      resolveRegistry,
      log: createJsonLog('silent', { write: () => undefined }),
      listPods: async () => undefined,
    });
    await config.close();
    assert.deepEqual((await readMetadata(namespace)).labels, { ...own, team: 'a' });
    await sync({});
    assert.deepEqual((await readMetadata(namespace)).labels, own);
  });
}

interface SecretBody {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly labels: Record<string, string>;
    readonly annotations: Record<string, string>;
  };
  readonly data: Record<string, string>;
}
