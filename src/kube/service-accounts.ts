import { PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { fieldManager, referenceAnnotation } from '../labels.ts';
import { isObject } from '../util/json.ts';
import { type ClusterConfig, createCoreApi, undefinedIfNotFound, withKubeErrors } from './client.ts';
import { KubeError } from './errors.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { listAll } from './list.ts';
import {
  acceptObjects,
  getMetadata,
  pickStrings,
  type Resource,
  type ResourceEventHandler,
} from './resource.ts';

/** One operation of a JSON patch (RFC 6902). */
export type JsonPatchOperation =
  | { readonly op: 'test' | 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** What is kept of a ServiceAccount. */
export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Names in `imagePullSecrets`, in order; an entry without a name is an empty text. */
  readonly imagePullSecrets: readonly string[];
  /** The pull secret whose reference we added: what {@link referenceAnnotation} says. */
  readonly managedReference: string | undefined;
  /** Whether it has any annotation. */
  readonly hasAnnotations: boolean;
}

/** Keeps of an object what {@link ServiceAccount} has; undefined where it is none. */
export function parseServiceAccount(object: unknown): ServiceAccount | undefined {
  const { namespace, name, uid, resourceVersion, annotations } = getMetadata(object);
  if (typeof namespace !== 'string' || typeof name !== 'string') return undefined;
  if (typeof uid !== 'string' || typeof resourceVersion !== 'string') return undefined;
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

/** Which ServiceAccounts; what is not given is not restricted. */
export interface ServiceAccountSelection {
  readonly namespace?: string;
  /** A restriction to this name lets RBAC grant the name alone. */
  readonly name?: string;
  /**
   * Keeps those of these names, and those that have a reference from us. The API has no selector for several names, so this
   * restricts what is kept and not what is requested.
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
    // they hold nothing secret, and metadata does not show the pull secrets
    accept: acceptObjects,
    parseItem: (object) => {
      const account = parseServiceAccount(object);
      return account !== undefined && isKept(account) ? account : undefined;
    },
  };
}

/** Lists ServiceAccounts. @throws {KubeError} */
export async function listServiceAccounts(
  config: ClusterConfig,
  selection: ServiceAccountSelection,
  signal: AbortSignal,
): Promise<ServiceAccount[]> {
  return (await listAll(config, createServiceAccountResource(selection), signal)).items;
}

/** Follows ServiceAccounts: see {@link createInformer}. */
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

/** Reads and patches single ServiceAccounts. Every failure is a {@link KubeError}. */
export interface ServiceAccountApi {
  /** The ServiceAccount, or undefined where there is none. */
  read(namespace: string, name: string): Promise<ServiceAccount | undefined>;
  /** Sends a JSON patch and gives back what is stored then; `invalid` where one of its tests fails. */
  patch(account: ServiceAccount, patch: readonly JsonPatchOperation[]): Promise<ServiceAccount>;
}

/** Makes the calls for ServiceAccounts on the API server that the config names. */
export function createServiceAccountApi(config: ClusterConfig): ServiceAccountApi {
  const api = createCoreApi(config);
  const parseOrThrow = (object: unknown, operation: string): ServiceAccount => {
    const account = parseServiceAccount(object);
    if (account !== undefined) return account;
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a ServiceAccount' });
  };
  return {
    read: async (namespace, name) => {
      const operation = `read ServiceAccount ${namespace}/${name}`;
      return await undefinedIfNotFound(operation, async () =>
        parseOrThrow(await api.readNamespacedServiceAccount({ namespace, name }), operation),
      );
    },
    patch: async ({ namespace, name }, patch) => {
      const operation = `patch ServiceAccount ${namespace}/${name}`;
      const asJsonPatch = setHeaderOptions('Content-Type', PatchStrategy.JsonPatch);
      const request = { namespace, name, body: patch, fieldManager };
      return await withKubeErrors(operation, async () =>
        parseOrThrow(await api.patchNamespacedServiceAccount(request, asJsonPatch), operation),
      );
    },
  };
}
