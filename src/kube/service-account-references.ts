// Adds and removes the reference from a ServiceAccount to a pull Secret.
import { referenceAnnotation } from '../labels.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import { retry } from '../util/retry.ts';
import { KubeError } from './errors.ts';
import type { JsonPatchOperation, ServiceAccount, ServiceAccountApi } from './service-accounts.ts';

const annotationPath = `/metadata/annotations/${referenceAnnotation.replace('/', '~1')}`;
const listPath = '/imagePullSecrets';

/**
 * Creates the patch that adds a reference to a pull Secret and records it in an annotation; undefined if there is nothing to do.
 * A managed reference to another Secret is replaced. `imagePullSecrets` is an atomic list, which an apply would own as a whole,
 * so the patch appends to it, and applies only to the resourceVersion that was read.
 * @internal exported for its tests
 */
export function createAddReferencePatch(
  account: ServiceAccount,
  secret: string,
): JsonPatchOperation[] | undefined {
  const managedReference = account.managedReference;
  if (account.imagePullSecrets.includes(secret)) {
    // Someone else may have added this reference, so it is not claimed. A managed reference to another Secret is removed.
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

/**
 * Creates the patch that removes the managed reference and nothing else; undefined if there is none.
 * @internal exported for its tests
 */
export function createRemoveReferencePatch(account: ServiceAccount): JsonPatchOperation[] | undefined {
  const managedReference = account.managedReference;
  if (managedReference === undefined) {
    return undefined;
  }
  const entry = removeEntry(account, managedReference);
  const isOnlyEntry = entry.length > 0 && account.imagePullSecrets.length === 1;
  return [
    testResourceVersion(account),
    ...(isOnlyEntry ? [{ op: 'remove', path: listPath } as const] : entry),
    { op: 'remove', path: annotationPath },
  ];
}

/** Without this test, the API server would retry the patch on a newer version of the object. */
function testResourceVersion({ resourceVersion }: ServiceAccount): JsonPatchOperation {
  return { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
}

/** Removes the last entry of the name, because references are appended. Empty if the entry does not exist any more. */
function removeEntry({ imagePullSecrets }: ServiceAccount, secret: string) {
  const index = imagePullSecrets.lastIndexOf(secret);
  return index < 0 ? [] : [{ op: 'remove', path: `${listPath}/${index}` } as const];
}

/** The result of adding or removing a reference. */
export interface ReferenceResult {
  /** The ServiceAccount as it is now; undefined if it does not exist. */
  readonly serviceAccount: ServiceAccount | undefined;
  readonly changed: boolean;
}

// ServiceAccounts change rarely, so this many consecutive conflicts are not a coincidence.
const maxAttempts = 5;

/**
 * Adds a reference to a pull Secret to a ServiceAccount, beside its other references.
 * @throws {KubeError}
 */
export async function addReference(
  api: ServiceAccountApi,
  namespace: string,
  name: string,
  secret: string,
): Promise<ReferenceResult> {
  return await patchWithRetry(api, namespace, name, (account) => createAddReferencePatch(account, secret));
}

/**
 * Removes the managed reference from a ServiceAccount. References that others added stay.
 * @throws {KubeError}
 */
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
  return await retry(async () => {
    const account = await api.read(namespace, name);
    const patch = account && createPatch(account);
    if (account === undefined || patch === undefined) {
      return { serviceAccount: account, changed: false };
    }
    return { serviceAccount: await api.patch(account, patch), changed: true };
  }, getConflictDelayMs);
}

/** Only conflicts are retried. The API server answers 422 to a patch whose `test` fails because of another writer. */
function getConflictDelayMs(error: unknown, attempts: number): number | undefined {
  const isConflict = error instanceof KubeError && (error.code === 'invalid' || error.code === 'conflict');
  return isConflict && attempts < maxAttempts
    ? backoffMs(apiServerBackoff, attempts, Math.random())
    : undefined;
}
