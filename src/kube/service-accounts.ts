// Reads, patches, lists and watches ServiceAccounts.
import { fieldManager, referenceAnnotation } from '../labels.ts';
import { isObject } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { listAll } from './list.ts';
import { patchTypes, sendJson, undefinedIfNotFound } from './request.ts';
import {
  acceptObjects,
  getMetadata,
  getObjectPath,
  pickStrings,
  type Resource,
  type ResourceEventHandler,
} from './resource.ts';

/** One operation of a JSON patch (RFC 6902). */
export type JsonPatchOperation =
  | { readonly op: 'test' | 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** The parts of a ServiceAccount that are kept. */
export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Names in `imagePullSecrets`, in order; an empty string for an entry without a name. */
  readonly imagePullSecrets: readonly string[];
  /** The pull Secret in {@link referenceAnnotation}: this program added the reference to it. */
  readonly managedReference: string | undefined;
  /** Whether it has any annotation. */
  readonly hasAnnotations: boolean;
}

/**
 * Parses a ServiceAccount. Returns undefined if the object is not one.
 * @internal exported for its tests
 */
export function parseServiceAccount(object: unknown): ServiceAccount | undefined {
  const { namespace, name, uid, resourceVersion, annotations } = getMetadata(object);
  if (typeof namespace !== 'string' || typeof name !== 'string') {
    return undefined;
  }
  if (typeof uid !== 'string' || typeof resourceVersion !== 'string') {
    return undefined;
  }
  const references: unknown = isObject(object) ? object['imagePullSecrets'] : undefined;
  const entries: unknown[] = Array.isArray(references) ? references : [];
  const annotationValues = pickStrings(annotations);
  return {
    namespace,
    name,
    uid,
    resourceVersion,
    imagePullSecrets: entries.map((entry) =>
      isObject(entry) && typeof entry['name'] === 'string' ? entry['name'] : '',
    ),
    managedReference: annotationValues[referenceAnnotation],
    hasAnnotations: Object.keys(annotationValues).length > 0,
  };
}

/** Selects ServiceAccounts. An omitted property selects all. */
export interface ServiceAccountSelection {
  readonly namespace?: string;
  /** With a name, RBAC on that name suffices. */
  readonly name?: string;
  /**
   * Keeps the ServiceAccounts with these names, and those with a managed reference. The API has no selector for several names,
   * so this filters the response.
   */
  readonly keptNames?: ReadonlySet<string>;
}

function createServiceAccountResource({
  namespace,
  name,
  keptNames,
}: ServiceAccountSelection): Resource<ServiceAccount> {
  const isKept = (account: ServiceAccount) =>
    keptNames === undefined || keptNames.has(account.name) || account.managedReference !== undefined;
  const where = namespace === undefined ? '' : ` of ${namespace}`;
  return {
    noun: `ServiceAccounts${where}${name === undefined ? '' : ` named ${name}`}`,
    path: `/api/v1/${namespace === undefined ? '' : `namespaces/${namespace}/`}serviceaccounts`,
    query: name === undefined ? {} : { fieldSelector: `metadata.name=${name}` },
    // Whole objects, because the metadata does not include imagePullSecrets. They contain no secrets.
    accept: acceptObjects,
    parseItem: (object) => {
      const account = parseServiceAccount(object);
      return account !== undefined && isKept(account) ? account : undefined;
    },
  };
}

/**
 * Lists ServiceAccounts.
 * @throws {KubeError}
 */
export async function listServiceAccounts(
  config: ClusterConfig,
  selection: ServiceAccountSelection,
  signal: AbortSignal,
): Promise<ServiceAccount[]> {
  return (await listAll(config, createServiceAccountResource(selection), signal)).items;
}

/** Watches ServiceAccounts; see {@link createInformer}. */
export function watchServiceAccounts({
  which,
  ...options
}: CommonInformerOptions & {
  config: ClusterConfig;
  which: ServiceAccountSelection;
  handler: ResourceEventHandler<ServiceAccount>;
}): Informer {
  return createInformer({ ...options, resource: createServiceAccountResource(which) });
}

/** Reads and patches ServiceAccounts. Every failure is a {@link KubeError}. */
export interface ServiceAccountApi {
  /** Returns the ServiceAccount, or undefined if it does not exist. */
  read(namespace: string, name: string): Promise<ServiceAccount | undefined>;
  /** Sends a JSON patch and returns the stored ServiceAccount. Fails with `invalid` if one of the patch's tests fails. */
  patch(account: ServiceAccount, patch: readonly JsonPatchOperation[]): Promise<ServiceAccount>;
}

/** Creates the API for ServiceAccounts. */
export function createServiceAccountApi(config: ClusterConfig): ServiceAccountApi {
  const parseOrThrow = (object: unknown, operation: string): ServiceAccount => {
    const account = parseServiceAccount(object);
    if (account !== undefined) {
      return account;
    }
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a ServiceAccount' });
  };
  return {
    read: async (namespace, name) => {
      const operation = `read ServiceAccount ${namespace}/${name}`;
      const request = {
        method: 'GET',
        path: getObjectPath('serviceaccounts', namespace, name),
        operation,
      } as const;
      return await undefinedIfNotFound(async () => parseOrThrow(await sendJson(config, request), operation));
    },
    patch: async ({ namespace, name }, patch) => {
      const operation = `patch ServiceAccount ${namespace}/${name}`;
      const patched = await sendJson(config, {
        method: 'PATCH',
        path: getObjectPath('serviceaccounts', namespace, name),
        query: { fieldManager },
        body: patch,
        contentType: patchTypes.json,
        operation,
      });
      return parseOrThrow(patched, operation);
    },
  };
}
