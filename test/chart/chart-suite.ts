import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Cluster } from '../cluster/cluster.ts';
import { type ClusterSuiteOptions, describeOnCluster, isCi } from '../cluster/cluster-suite.ts';
import { findHelm, type Helm, obtainHelm } from './helm.ts';

/**
 * A suite that needs Helm. Where there is none it is skipped and says why; in CI it fails.
 * @param body declares the tests; its argument gives Helm, within a test or a hook
 */
export function describeWithHelm(name: string, body: (helm: () => Helm) => void): void {
  const search = findHelm(process.env);
  if ('reason' in search) {
    it(name, { skip: !isCi(process.env) && search.reason }, () => assert.fail(search.reason));
    return;
  }
  describe(name, () => {
    let helm: Helm | undefined;
    before(async () => {
      helm = await obtainHelm();
    });
    body(() => {
      assert.ok(helm, 'Helm is there within tests and hooks only');
      return helm;
    });
  });
}

/** A suite that needs Helm and a real API server: see describeOnCluster. */
export function describeChartOnCluster(
  name: string,
  body: (cluster: () => Cluster, helm: () => Helm) => void,
  options: ClusterSuiteOptions = {},
): void {
  describeWithHelm(name, (helm) => {
    describeOnCluster('on a real API server', (cluster) => body(cluster, helm), options);
  });
}
