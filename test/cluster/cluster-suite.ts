// Runs a suite against a real API server, or skips it with the reason.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ApiServerOptions } from './api-server.ts';
import { findBinaries } from './binaries.ts';
import { type Cluster, startCluster } from './cluster.ts';

export type ClusterSuiteOptions = ApiServerOptions & {
  /** For a suite that kills or restarts its API server, or needs its options, and so cannot use an existing cluster. */
  readonly ownApiServer?: boolean;
};

/** Whether a real API server is available, and the reason if not. */
export type Availability =
  | { readonly available: true }
  | { readonly available: false; readonly reason: string };

/** Set by test/run.ts to the reason if no API server is available, so that not every suite tries to start one. */
export const clusterUnavailableVariable = 'TEST_CLUSTER_UNAVAILABLE';

/** Whether this is a CI run, in which a suite that cannot run fails. */
export function isCi(env: NodeJS.ProcessEnv): boolean {
  return !['', 'false', '0', undefined].includes(env['CI']);
}

/**
 * Whether startCluster would find the binaries or could build them.
 * @throws as findBinaries, if the environment is contradictory
 */
export function getClusterAvailability(env: NodeJS.ProcessEnv): Availability {
  if (env['TEST_KUBECONFIG']) {
    return { available: true };
  }
  const reason = env[clusterUnavailableVariable];
  if (reason) {
    return { available: false, reason };
  }
  const search = findBinaries(env);
  if (search.binaries !== undefined || search.buildable) {
    return { available: true };
  }
  return { available: false, reason: search.reason };
}

/**
 * Declares a suite against a real API server, which is started before and stopped after the suite. The file must be named
 * `*.cluster.test.ts`, because test/run.ts counts by the name. Without an API server, the suite is skipped with the reason; in
 * CI it fails.
 * @param body declares the tests; its argument returns the cluster within a test or a hook
 */
export function describeOnCluster(
  name: string,
  body: (cluster: () => Cluster) => void,
  { ownApiServer = false, ...options }: ClusterSuiteOptions = {},
): void {
  const obstacle = findObstacle(ownApiServer, process.env);
  if (obstacle !== undefined) {
    // A skipped test, not a skipped suite, which would be missing in the summary of the run.
    it(name, { skip: obstacle.isAllowed && obstacle.reason }, () => assert.fail(obstacle.reason));
    return;
  }
  describe(name, () => {
    let cluster: Cluster | undefined;
    before(async () => {
      cluster = await startCluster(options);
    });
    body(() => {
      assert.ok(cluster, 'the cluster is available within tests and hooks only');
      return cluster;
    });
    // Declared last, because hooks run in the order of their declaration and those of the suite may need the cluster.
    after(() => cluster?.stop());
  });
}

function findObstacle(
  ownApiServer: boolean,
  env: NodeJS.ProcessEnv,
): { reason: string; isAllowed: boolean } | undefined {
  const availability = getClusterAvailability(env);
  if (!availability.available) {
    return { reason: `NO REAL API SERVER: ${availability.reason}`, isAllowed: !isCi(env) };
  }
  if (!ownApiServer || !env['TEST_KUBECONFIG']) {
    return undefined;
  }
  return { reason: 'needs an API server of its own, and TEST_KUBECONFIG names another', isAllowed: true };
}
