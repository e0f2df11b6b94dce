// Checks of the group `api-server`: whether it responds, its version, and the rights of the caller and of the program.
import {
  type AccessReviewer,
  type AccessRight,
  createAccessReviewer,
  formatRight,
  serviceAccountUser,
} from '../kube/access-reviews.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { readObject } from '../kube/objects.ts';
import { getField } from '../util/json.ts';
import { judgeReachability, judgeVersion } from './api-server-judgments.ts';
import { judgeCallerRights, listCallerRights } from './caller-rights.ts';
import type { CheckResult } from './check.ts';
import type { CheckGroupRunner, Installation } from './installation.ts';
import {
  judgeExcessRights,
  judgeRequiredRights,
  listExcessRights,
  listRequiredRights,
} from './program-rights.ts';
import { settleChecks } from './settle-checks.ts';
import { listWorkloads } from './workloads.ts';

export const checkApiServer: CheckGroupRunner = async (installation, signal) => {
  const { viewpoint } = installation;
  const [reachable, version] = await settleChecks(
    [{ check: 'api-server-reachable', run: () => checkReachability(installation, signal) }],
    viewpoint,
    signal,
  );
  if (reachable?.outcome !== 'ok') {
    return reachable === undefined ? [] : [reachable];
  }
  const rights = await settleChecks(
    [
      { check: 'caller-rights', run: () => checkCallerRights(installation) },
      { check: 'program-rights', run: () => checkProgramRights(installation, signal) },
    ],
    viewpoint,
    signal,
  );
  return [reachable, ...(version === undefined ? [] : [version]), ...rights];
};

async function checkReachability({ cluster }: Installation, signal: AbortSignal): Promise<CheckResult[]> {
  const version = await readVersion(cluster, signal);
  const address = getAddress(cluster);
  return version instanceof KubeError
    ? [judgeReachability(address, version)]
    : [
        judgeReachability(address, undefined),
        judgeVersion(String(getField(version, 'gitVersion')).slice(0, 50)),
      ];
}

/** Returns why nothing can be read from the API server; undefined if it responds, or if the user interrupts the request. */
export async function findUnreachable(
  { cluster }: Pick<Installation, 'cluster'>,
  signal: AbortSignal,
): Promise<CheckResult | undefined> {
  const version = await readVersion(cluster, signal);
  // The right to read the version says nothing about other rights.
  return version instanceof KubeError && version.code !== 'forbidden' && !version.isAborted
    ? judgeReachability(getAddress(cluster), version)
    : undefined;
}

function getAddress(cluster: ClusterConfig): string {
  return cluster.getCurrentCluster()?.server ?? '';
}

async function readVersion(cluster: ClusterConfig, signal: AbortSignal): Promise<unknown> {
  try {
    return await readObject(cluster, { path: '/version', noun: 'the version' }, signal);
  } catch (error) {
    if (error instanceof KubeError) {
      return error;
    }
    throw error;
  }
}

async function checkCallerRights({ cluster, namespace, viewpoint }: Installation): Promise<CheckResult> {
  const missing = await selectRights(
    listCallerRights(namespace, viewpoint),
    'missing',
    createAccessReviewer(cluster),
  );
  return judgeCallerRights(missing, formatRight, viewpoint);
}

/** Inside, the caller is the program. Outside, its user is that of the Deployment. */
async function checkProgramRights(installation: Installation, signal: AbortSignal): Promise<CheckResult[]> {
  const { config, cluster, namespace, viewpoint } = installation;
  const account = viewpoint === 'inside' ? undefined : await findServiceAccount(installation, signal);
  if (viewpoint === 'outside' && (account === undefined || namespace === undefined)) {
    const summary = 'not checked, because no Deployment of the chart was found that names the ServiceAccount';
    return [{ check: 'program-rights', outcome: 'skipped', summary }];
  }
  const user =
    account === undefined || namespace === undefined ? undefined : serviceAccountUser(namespace, account);
  const review = createAccessReviewer(cluster, user);
  const name = user === undefined ? 'the program' : `ServiceAccount ${namespace}/${account}`;
  const [missing, unnecessary] = await Promise.all([
    selectRights(listRequiredRights(config, namespace), 'missing', review),
    selectRights(listExcessRights(config), 'granted', review),
  ]);
  return [judgeRequiredRights(missing, formatRight, name), judgeExcessRights(unnecessary, formatRight, name)];
}

async function findServiceAccount(
  { cluster, namespace }: Installation,
  signal: AbortSignal,
): Promise<string | undefined> {
  const workloads = namespace === undefined ? [] : await listWorkloads(cluster, namespace, signal);
  return workloads.find(({ component }) => component === 'webhook')?.serviceAccount;
}

/** The rights that are granted, or those that are missing. */
async function selectRights<T extends AccessRight>(
  rights: readonly T[],
  which: 'granted' | 'missing',
  review: AccessReviewer,
): Promise<T[]> {
  const allowed = await Promise.all(rights.map(review));
  return rights.filter((_, index) => allowed[index] === (which === 'granted'));
}
