import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ApiServerOptions } from './api-server.ts';
import { findBinaries } from './binaries.ts';
import { type Cluster, startCluster } from './cluster.ts';

export type ClusterSuiteOptions = ApiServerOptions & {
  /** The suite kills or restarts its API server, or needs its options: not for a cluster that others use. */
  readonly ownApiServer?: boolean;
};

/** Whether a real API server can be had; if not, why. */
export type Availability =
  | { readonly available: true }
  | { readonly available: false; readonly reason: string };

/** Set by test/run.ts where it tried in vain, so that not every suite tries again: the reason. */
export const clusterUnavailableVariable = 'TEST_CLUSTER_UNAVAILABLE';

/** Whether this is a CI run, where a suite that cannot run has failed. */
export function isCi(env: NodeJS.ProcessEnv): boolean {
  return !['', 'false', '0', undefined].includes(env['CI']);
}

/**
 * Whether startCluster would find what it needs, or could build it.
 * @throws as findBinaries, where the environment asks for what cannot be
 */
export function clusterAvailability(env: NodeJS.ProcessEnv): Availability {
  if (env['TEST_KUBECONFIG']) return { available: true };
  const tried = env[clusterUnavailableVariable];
  if (tried) return { available: false, reason: tried };
  const search = findBinaries(env);
  if (search.binaries !== undefined || search.buildable) return { available: true };
  return { available: false, reason: search.reason };
}

/**
 * A suite against a real API server: `describe` with a cluster that is started before and stopped after. Belongs
 * into a file named `*.cluster.test.ts`, by which test/run.ts counts. Where no API server can be had, the suite is
 * skipped and says why; in CI it fails.
 * @param body declares the tests; its argument gives the cluster, within a test or a hook
 */
export function describeOnCluster(
  name: string,
  body: (cluster: () => Cluster) => void,
  { ownApiServer = false, ...options }: ClusterSuiteOptions = {},
): void {
  const impediment = findObstacle(ownApiServer, process.env);
  if (impediment !== undefined) {
    // A skipped test, not a skipped suite: the latter would be missing from the numbers at the end of a run.
    it(name, { skip: impediment.mayBe && impediment.reason }, () => assert.fail(impediment.reason));
    return;
  }
  describe(name, () => {
    let started: Cluster | undefined;
    before(async () => {
      started = await startCluster(options);
    });
    body(() => {
      assert.ok(started, 'the cluster is there within tests and hooks only');
      return started;
    });
    // Hooks run in the order of their declaration: the suite's own may still need the cluster.
    after(() => started?.stop());
  });
}

function findObstacle(
  ownApiServer: boolean,
  env: NodeJS.ProcessEnv,
): { reason: string; mayBe: boolean } | undefined {
  const availability = clusterAvailability(env);
  if (!availability.available) {
    return { reason: `NO REAL API SERVER: ${availability.reason}`, mayBe: !isCi(env) };
  }
  if (!ownApiServer || !env['TEST_KUBECONFIG']) return undefined;
  return { reason: 'needs an API server of its own, and TEST_KUBECONFIG names another', mayBe: true };
}
