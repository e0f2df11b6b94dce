// Installs each values file in the chart's folder ci/ with Helm on a real API server.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { describeChartOnCluster } from './chart-suite.ts';
import { readCiValues } from './ci-values.ts';
import { installCustomResources } from './custom-resources.ts';
import { getMinorVersion } from './install-modes.ts';
import { difference, listAllObjects } from './inventory.ts';
import { createRelease } from './release.ts';

describeChartOnCluster('the values files in ci/', (cluster, helm) => {
  before(() => installCustomResources(cluster().request));

  for (const { name, values, podSecurity, since } of readCiValues()) {
    it(`${name}: can be installed and removed, and its pods are admitted as ${podSecurity}`, async (t) => {
      if (getMinorVersion(cluster().version) < since) {
        t.skip(`needs Kubernetes 1.${since}`);
        return;
      }
      const release = await createRelease(cluster(), helm(), undefined, podSecurity);
      const empty = await listAllObjects(cluster().request);
      await release.install(values);
      // No controller creates the pods.
      const path = `/api/v1/namespaces/${release.namespace}/pods?dryRun=All&fieldValidation=Strict`;
      for (const pod of await release.pods()) {
        const { status, body, warnings } = await cluster().request('POST', path, pod);
        assert.deepEqual([status, warnings], [201, []], JSON.stringify(body));
      }
      await release.upgrade(values);
      await release.uninstall();
      assert.deepEqual(difference(await listAllObjects(cluster().request), empty), []);
    });
  }
});
