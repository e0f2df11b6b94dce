// Upgrades the chart from its last version before the conventional values (a package in fixtures/) on a real API server.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { getSendRate, startPodLoad } from '../support/pod-load.ts';
import { createPod, podWith } from '../support/pods.ts';
import { createCertificateFiles, type RunningProgram } from '../support/program.ts';
import { startServiceProxy } from '../webhook/service-proxy.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import { difference, listAllObjects } from './inventory.ts';
import { startLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

/** The chart at commit 4298882, packaged by Helm. */
const earlierChart = join(import.meta.dirname, 'fixtures/before-conventional-values.tgz');
const podsPerSecond = 20;
const namespaces = 8;

describeChartOnCluster('an upgrade from before the conventional values', (cluster, helm) => {
  const deployment = async ({ namespace }: Release) => {
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments/ecr-pull-secrets`;
    return getValueAt((await cluster().request('GET', path)).body, 'spec');
  };
  const proxy = { name: 'HTTPS_PROXY', value: 'http://proxy.example:3128' };

  it('refuses values of earlier names with the new ones, and changes nothing', async () => {
    const release = await createRelease(cluster(), helm());
    await release.install({ replicas: 3, env: [proxy], topologySpread: [] }, earlierChart);
    await assert.rejects(
      release.upgrade({}, ['--reset-then-reuse-values']),
      /env: did you mean extraEnv\?\s+replicas: did you mean replicaCount\?\s+topologySpread: did you mean topologySpreadConstraints\?/,
    );
    assert.equal((await deployment(release)).replicas, 3);
    const renamed = { replicaCount: 3, extraEnv: [proxy], topologySpreadConstraints: [] };
    const unset = { replicas: null, env: null, topologySpread: null };
    await release.upgrade({ ...renamed, ...unset }, ['--reset-then-reuse-values']);
    const { replicas, template } = await deployment(release);
    assert.equal(replicas, 3);
    assert.deepEqual(template.spec.containers[0].env, [proxy]);
    assert.equal(template.spec.topologySpreadConstraints, undefined);
    await release.uninstall();
  });

  it('yields the objects of a new installation, and can be rolled back', async () => {
    const release = await createRelease(cluster(), helm());
    const everything = () => listAllObjects(cluster().request);
    const empty = await everything();
    await release.install({}, earlierChart);
    const earlier = difference(await everything(), empty);
    await release.upgrade({});
    const upgraded = difference(await everything(), empty);
    await release.rollback(1);
    assert.deepEqual(difference(await everything(), empty), earlier);
    await release.uninstall();
    await release.install();
    assert.deepEqual(difference(await everything(), empty), upgraded);
    await release.uninstall();
    assert.deepEqual(difference(await everything(), empty), []);
  });

  it(`leaves no pod without reference under ${podsPerSecond} pods a second, nor does the rollback`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'upgrade-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    const certificates = await createCertificateFiles(directory);
    const ecr = await startEcrDouble();
    t.after(() => ecr.stop());
    const service = await startServiceProxy(Math.random);
    t.after(() => service.stop());
    const release = await createRelease(cluster(), helm());
    const common: Values = {
      injection: 'webhook',
      webhook: { url: `${service.url}` },
      certificates: { mode: 'existingSecret', secretName: 'own', caBundle: certificates.caPem },
    };
    const started: RunningProgram[] = [];
    t.after(() => Promise.all(started.map((program) => program.stop())));
    /** Starts a replica as the installed release configures it, and then stops the previous one, as a rolling update does. */
    const replaceReplica = async () => {
      const previous = started.at(-1);
      const config = { webhook: { shutdownDelay: '2s' } };
      const program = await startLocalProgram(release, ecr, { certificates, config });
      started.push(program);
      service.watch(program);
      await eventually('the Service has the replica', () => service.hasEndpoint(program));
      await previous?.stop();
    };

    await release.install({ ...common, replicas: 1, env: [proxy] }, earlierChart);
    await replaceReplica();
    const names = await Promise.all(
      Array.from({ length: namespaces }, () => cluster().createNamespace('busy')),
    );
    await eventually('the API server calls the replica', async () => {
      const pod = podWith([`${registry}/probe:1`]);
      return (await createPod(cluster(), names[0] ?? '', pod, { dryRun: true })).pullSecrets.length > 0;
    });

    let count = 0;
    const load = startPodLoad(cluster(), podsPerSecond, () => {
      count += 1;
      return { namespace: names[count % namespaces] ?? '', host: registry };
    });
    await release.upgrade({ ...common, replicaCount: 1, extraEnv: [proxy] });
    await replaceReplica();
    const beforeRollback = load.sent.length;
    await release.rollback(1);
    await replaceReplica();
    const sent = await load.stop();

    t.diagnostic(
      `${sent.length} pods, ${getSendRate(sent).toFixed(1)} a second, ${beforeRollback} before the rollback`,
    );
    assert.ok(beforeRollback > podsPerSecond && sent.length > beforeRollback);
    assert.deepEqual(
      sent.filter(({ status, pullSecrets }) => status !== 201 || !pullSecrets.includes('ecr-pull-secrets')),
      [],
    );
    await release.uninstall();
  });
});
