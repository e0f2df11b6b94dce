// Tests that a chart that was pushed to a registry and pulled from it installs, and that its webhook serves pods.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import packageJson from '../../package.json' with { type: 'json' };
import { describeChartOnCluster } from '../chart/chart-suite.ts';
import { registry as ecrRegistry } from '../chart/install-modes.ts';
import { installWithLocalProgram } from '../chart/local-program.ts';
import { createRelease } from '../chart/release.ts';
import { getValueAt } from '../chart/rendered-objects.ts';
import { isCi } from '../cluster/cluster-suite.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { createPod, podWith } from '../support/pods.ts';
import { runProgram } from '../support/run-program.ts';
import {
  createReleaseEnvironment,
  findReleaseTestObstacle,
  type LoopbackRegistry,
  startLoopbackRegistry,
} from './release-tools.ts';

const { name, version } = packageJson;
const digest = `sha256:${'a'.repeat(64)}`;
const publisher = join(import.meta.dirname, 'publish-chart.ts');
const obstacle = findReleaseTestObstacle(process.env);

describeChartOnCluster('the released chart', (cluster, helm) => {
  let folder = '';
  let registry: LoopbackRegistry | undefined;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'released-chart-'));
  });
  after(async () => {
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('is installed from the registry, runs the released image, and its webhook serves pods', {
    skip: !isCi(process.env) && obstacle,
  }, async (t) => {
    assert.equal(obstacle, undefined);
    registry = await startLoopbackRegistry();
    const env = await createReleaseEnvironment(folder);
    const target = [`${registry.host}/team/${name}`, digest, `${registry.host}/charts`];
    const published = await runProgram(process.execPath, [publisher, join(folder, 'release'), ...target], {
      env,
    });
    assert.equal(published.code, 0, published.stderr);
    const pulled = await helm().run([
      ...['pull', `oci://${registry.host}/charts/${name}`, '--version', version, '--plain-http'],
      ...['--destination', folder],
    ]);
    assert.equal(pulled.code, 0, pulled.stderr);

    const release = await createRelease(
      cluster(),
      helm(),
      name,
      'restricted',
      join(folder, `${name}-${version}.tgz`),
    );
    const ecr = await startEcrDouble();
    t.after(() => ecr.stop());
    const program = await installWithLocalProgram(cluster(), release, ecr);
    t.after(() => program.stop());
    t.after(() => release.uninstall());
    const images = (await release.pods()).flatMap((pod) =>
      getValueAt(pod, 'spec.containers').map(({ image }: { image: string }) => image),
    );
    assert.deepEqual([...new Set(images)], [`${registry.host}/team/${name}@${digest}`]);
    const namespace = await cluster().createNamespace('team');
    const { pullSecrets, warnings } = await createPod(
      cluster(),
      namespace,
      podWith([`${ecrRegistry}/app:1`]),
    );
    assert.deepEqual([pullSecrets, warnings], [[name], []]);
  });
});
