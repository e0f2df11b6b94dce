import { setTimeout as wait } from 'node:timers/promises';
import { backoffMs } from './backoff.ts';
import { KubeError } from './errors.ts';
import { type Operation, referPatch, unreferPatch } from './reference.ts';
import type { ServiceAccount, ServiceAccountApi } from './service-accounts.ts';

/** What came of it. */
export interface Referred {
  /** The ServiceAccount as it is now; undefined: there is none. */
  readonly account: ServiceAccount | undefined;
  readonly changed: boolean;
}

// Controllers and people change a ServiceAccount seldom; losing this often in a row is no coincidence.
const MOST_TRIES = 5;

/** Makes a ServiceAccount refer to a pull secret, beside whatever it refers to. @throws {KubeError} */
export async function addReference(
  api: ServiceAccountApi,
  namespace: string,
  name: string,
  secret: string,
): Promise<Referred> {
  return await change(api, namespace, name, (account) => referPatch(account, secret));
}

/** Takes away the reference that we added to a ServiceAccount; one that somebody else added stays. @throws {KubeError} */
export async function removeReference(
  api: ServiceAccountApi,
  namespace: string,
  name: string,
): Promise<Referred> {
  return await change(api, namespace, name, unreferPatch);
}

async function change(
  api: ServiceAccountApi,
  namespace: string,
  name: string,
  patchOf: (account: ServiceAccount) => Operation[] | undefined,
): Promise<Referred> {
  for (let tries = 1; ; tries += 1) {
    const account = await api.read(namespace, name);
    const patch = account && patchOf(account);
    if (account === undefined || patch === undefined) return { account, changed: false };
    try {
      return { account: await api.patch(account, patch), changed: true };
    } catch (error) {
      // 422 is what a failed `test` is answered with: somebody was faster
      const lost = error instanceof KubeError && (error.code === 'invalid' || error.code === 'conflict');
      if (!lost || tries === MOST_TRIES) throw error;
    }
    await wait(backoffMs(tries, Math.random()));
  }
}
