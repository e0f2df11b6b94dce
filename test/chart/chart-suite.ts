// Test suites that need Helm, and perhaps a real API server.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Cluster } from '../cluster/cluster.ts';
import { type ClusterSuiteOptions, describeOnCluster, isCi } from '../cluster/cluster-suite.ts';
import { findHelm, type Helm, obtainHelm } from './helm.ts';

/**
 * Declares a suite that needs Helm. Without Helm it is skipped with the reason; in CI it fails.
 * @param body declares the tests; its argument returns Helm and may be called within tests and hooks only
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
      assert.ok(helm, 'Helm is available within tests and hooks only');
      return helm;
    });
  });
}

/** Declares a suite that needs Helm and a real API server, see describeOnCluster. */
export function describeChartOnCluster(
  name: string,
  body: (cluster: () => Cluster, helm: () => Helm) => void,
  options: ClusterSuiteOptions = {},
): void {
  describeWithHelm(name, (helm) => {
    describeOnCluster('on a real API server', (cluster) => body(cluster, helm), options);
  });
}
