// Test suites that need Helm, and perhaps a real API server.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Cluster } from '../cluster/cluster.ts';
import { type ClusterSuiteOptions, describeOnCluster } from '../cluster/cluster-suite.ts';
import { declareUnless } from '../support/required-tools.ts';
import { findHelm, type Helm, obtainHelm } from './helm.ts';
import { firstMinorWithPolicy, getMinorVersion } from './install-modes.ts';

/**
 * Declares a suite that needs Helm. Without Helm it is skipped with the reason; in CI it fails.
 * @param body declares the tests; its argument returns Helm and may be called within tests and hooks only
 */
export function describeWithHelm(name: string, body: (helm: () => Helm) => void): void {
  const search = findHelm(process.env);
  declareUnless('reason' in search ? search.reason : undefined, name, () =>
    describe(name, () => {
      let helm: Helm | undefined;
      before(async () => {
        helm = await obtainHelm();
      });
      body(() => {
        assert.ok(helm, 'Helm is available within tests and hooks only');
        return helm;
      });
    }),
  );
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

/** Whether the API server offers MutatingAdmissionPolicy. */
export function offersPolicy({ version }: Pick<Cluster, 'version'>): boolean {
  return getMinorVersion(version) >= firstMinorWithPolicy;
}

/** Declares a test that is skipped if the API server does not offer MutatingAdmissionPolicy. */
export function itWithPolicy(cluster: () => Cluster, name: string, body: () => Promise<void>): void {
  it(name, async (t) => {
    if (offersPolicy(cluster())) {
      await body();
    } else {
      t.skip(`MutatingAdmissionPolicy requires Kubernetes 1.${firstMinorWithPolicy}`);
    }
  });
}
