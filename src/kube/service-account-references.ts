import { setTimeout as wait } from 'node:timers/promises';
import { referenceAnnotation } from '../labels.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import { KubeError } from './errors.ts';
import type { Operation, ServiceAccount, ServiceAccountApi } from './service-accounts.ts';

const annotationPath = `/metadata/annotations/${referenceAnnotation.replace('/', '~1')}`;
const listPath = '/imagePullSecrets';

/**
 * What makes a ServiceAccount refer to a pull secret, and say that we did it; undefined where there is nothing to do.
 * A reference of ours to another Secret gives way to it. The list is an atomic one, which an apply would take over
 * whole, so the patch appends, and holds only for the version that was looked at.
 */
export function referPatch(account: ServiceAccount, secret: string): Operation[] | undefined {
  const ours = account.reference;
  if (account.pullSecrets.includes(secret)) {
    // by whose hand it came is not for us to change; an old reference of ours goes
    return ours === undefined || ours === secret ? undefined : unreferPatch(account);
  }
  const old = ours === undefined ? [] : withoutEntry(account, ours);
  const left = account.pullSecrets.length - old.length;
  return [
    unchanged(account),
    ...old.map(({ path }): Operation => ({ op: 'remove', path })),
    left === 0
      ? { op: 'add', path: listPath, value: [{ name: secret }] }
      : { op: 'add', path: `${listPath}/-`, value: { name: secret } },
    account.annotated
      ? { op: 'add', path: annotationPath, value: secret }
      : { op: 'add', path: '/metadata/annotations', value: { [referenceAnnotation]: secret } },
  ];
}

/** What takes away the reference that we added, and nothing else; undefined where we added none. */
export function unreferPatch(account: ServiceAccount): Operation[] | undefined {
  const ours = account.reference;
  if (ours === undefined) return undefined;
  const entry = withoutEntry(account, ours);
  const whole = entry.length > 0 && account.pullSecrets.length === 1;
  return [
    unchanged(account),
    ...(whole ? [{ op: 'remove', path: listPath } as const] : entry),
    { op: 'remove', path: annotationPath },
  ];
}

/** A patch is tried again by the API server on whatever is there by then, unless it says what it is for. */
function unchanged({ resourceVersion }: ServiceAccount): Operation {
  return { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
}

/** We append, so of several entries of the name the last is ours; none where somebody took it away already. */
function withoutEntry({ pullSecrets }: ServiceAccount, secret: string) {
  const index = pullSecrets.lastIndexOf(secret);
  return index < 0 ? [] : [{ op: 'remove', path: `${listPath}/${index}` } as const];
}

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
    await wait(backoffMs(apiServerBackoff, tries, Math.random()));
  }
}
