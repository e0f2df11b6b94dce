import { setTimeout as wait } from 'node:timers/promises';
import { referenceAnnotation } from '../labels.ts';
import { apiServerBackoff, tokenRetryMs } from '../util/backoff.ts';
import { KubeError } from './errors.ts';
import type { JsonPatchOperation, ServiceAccount, ServiceAccountApi } from './service-accounts.ts';

const annotationPath = `/metadata/annotations/${referenceAnnotation.replace('/', '~1')}`;
const listPath = '/imagePullSecrets';

/**
 * What makes a ServiceAccount refer to a pull secret, and say that we did it; undefined where there is nothing to do.
 * A reference of ours to another Secret gives way to it. The list is an atomic one, which an apply would take over
 * whole, so the patch appends, and holds only for the version that was looked at.
 */
export function createAddReferencePatch(
  account: ServiceAccount,
  secret: string,
): JsonPatchOperation[] | undefined {
  const managedReference = account.managedReference;
  if (account.imagePullSecrets.includes(secret)) {
    // by whose hand it came is not for us to change; an old reference of ours goes
    return managedReference === undefined || managedReference === secret
      ? undefined
      : createRemoveReferencePatch(account);
  }
  const removals = managedReference === undefined ? [] : removeEntry(account, managedReference);
  const remaining = account.imagePullSecrets.length - removals.length;
  return [
    testResourceVersion(account),
    ...removals.map(({ path }): JsonPatchOperation => ({ op: 'remove', path })),
    remaining === 0
      ? { op: 'add', path: listPath, value: [{ name: secret }] }
      : { op: 'add', path: `${listPath}/-`, value: { name: secret } },
    account.hasAnnotations
      ? { op: 'add', path: annotationPath, value: secret }
      : { op: 'add', path: '/metadata/annotations', value: { [referenceAnnotation]: secret } },
  ];
}

/** What takes away the reference that we added, and nothing else; undefined where we added none. */
export function createRemoveReferencePatch(account: ServiceAccount): JsonPatchOperation[] | undefined {
  const managedReference = account.managedReference;
  if (managedReference === undefined) return undefined;
  const entry = removeEntry(account, managedReference);
  const isOnlyEntry = entry.length > 0 && account.imagePullSecrets.length === 1;
  return [
    testResourceVersion(account),
    ...(isOnlyEntry ? [{ op: 'remove', path: listPath } as const] : entry),
    { op: 'remove', path: annotationPath },
  ];
}

/** A patch is tried again by the API server on whatever is there by then, unless it says what it is for. */
function testResourceVersion({ resourceVersion }: ServiceAccount): JsonPatchOperation {
  return { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
}

/** We append, so of several entries of the name the last is ours; none where somebody took it away already. */
function removeEntry({ imagePullSecrets }: ServiceAccount, secret: string) {
  const index = imagePullSecrets.lastIndexOf(secret);
  return index < 0 ? [] : [{ op: 'remove', path: `${listPath}/${index}` } as const];
}

/** What came of it. */
export interface ReferenceResult {
  /** The ServiceAccount as it is now; undefined: there is none. */
  readonly serviceAccount: ServiceAccount | undefined;
  readonly changed: boolean;
}

// Controllers and people change a ServiceAccount seldom; losing this often in a row is no coincidence.
const maxAttempts = 5;

/** Makes a ServiceAccount refer to a pull secret, beside whatever it refers to. @throws {KubeError} */
export async function addReference(
  api: ServiceAccountApi,
  namespace: string,
  name: string,
  secret: string,
): Promise<ReferenceResult> {
  return await patchWithRetry(api, namespace, name, (account) => createAddReferencePatch(account, secret));
}

/** Takes away the reference that we added to a ServiceAccount; one that somebody else added stays. @throws {KubeError} */
export async function removeReference(
  api: ServiceAccountApi,
  namespace: string,
  name: string,
): Promise<ReferenceResult> {
  return await patchWithRetry(api, namespace, name, createRemoveReferencePatch);
}

async function patchWithRetry(
  api: ServiceAccountApi,
  namespace: string,
  name: string,
  createPatch: (account: ServiceAccount) => JsonPatchOperation[] | undefined,
): Promise<ReferenceResult> {
  for (let attempts = 1; ; attempts += 1) {
    const account = await api.read(namespace, name);
    const patch = account && createPatch(account);
    if (account === undefined || patch === undefined) return { serviceAccount: account, changed: false };
    try {
      return { serviceAccount: await api.patch(account, patch), changed: true };
    } catch (error) {
      // 422 is what a failed `test` is answered with: somebody was faster
      const isConflict =
        error instanceof KubeError && (error.code === 'invalid' || error.code === 'conflict');
      if (!isConflict || attempts === maxAttempts) throw error;
    }
    await wait(tokenRetryMs(apiServerBackoff, attempts, Math.random()));
  }
}
