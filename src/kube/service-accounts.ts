import { PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { fieldManager, referenceAnnotation } from '../labels.ts';
import { isObject } from '../util/json.ts';
import { attempt, type ClusterConfig, coreApi, unlessMissing } from './client.ts';
import { KubeError } from './errors.ts';
import { follow, type Watch, type WatchSettings } from './informer.ts';
import { listAll } from './list.ts';
import { ACCEPT_OBJECTS, metadataOf, type Resource, type Sink, texts } from './resource.ts';

/** One operation of a JSON patch (RFC 6902). */
export type Operation =
  | { readonly op: 'test' | 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** What is kept of a ServiceAccount. */
export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Names in `imagePullSecrets`, in order; an entry without a name is an empty text. */
  readonly pullSecrets: readonly string[];
  /** The pull secret whose reference we added: what {@link referenceAnnotation} says. */
  readonly reference: string | undefined;
  /** Whether it has any annotation. */
  readonly annotated: boolean;
}

/** Keeps of an object what {@link ServiceAccount} has; undefined where it is none. */
export function serviceAccount(object: unknown): ServiceAccount | undefined {
  const { namespace, name, uid, resourceVersion, annotations } = metadataOf(object);
  if (typeof namespace !== 'string' || typeof name !== 'string') return undefined;
  if (typeof uid !== 'string' || typeof resourceVersion !== 'string') return undefined;
  const references: unknown = isObject(object) ? object['imagePullSecrets'] : undefined;
  const list: unknown[] = Array.isArray(references) ? references : [];
  const told = texts(annotations);
  return {
    namespace,
    name,
    uid,
    resourceVersion,
    pullSecrets: list.map((entry) =>
      isObject(entry) && typeof entry['name'] === 'string' ? entry['name'] : '',
    ),
    reference: told[referenceAnnotation],
    annotated: Object.keys(told).length > 0,
  };
}

/** Which ServiceAccounts; what is not given is not restricted. */
export interface ServiceAccountsOf {
  readonly namespace?: string;
  /** A restriction to this name lets RBAC grant the name alone. */
  readonly name?: string;
  /**
   * Keeps those of these names, and those that have a reference from us. The API has no selector for several names, so this
   * restricts what is kept and not what is requested.
   */
  readonly keptNames?: ReadonlySet<string>;
}

function serviceAccounts({ namespace, name, keptNames }: ServiceAccountsOf): Resource<ServiceAccount> {
  const isKept = (account: ServiceAccount) =>
    keptNames === undefined || keptNames.has(account.name) || account.reference !== undefined;
  const where = namespace === undefined ? '' : ` of ${namespace}`;
  return {
    noun: `ServiceAccounts${where}${name === undefined ? '' : ` named ${name}`}`,
    path: `/api/v1/${namespace === undefined ? '' : `namespaces/${namespace}/`}serviceaccounts`,
    query: name === undefined ? {} : { fieldSelector: `metadata.name=${name}` },
    // they hold nothing secret, and metadata does not show the pull secrets
    accept: ACCEPT_OBJECTS,
    item: (object) => {
      const account = serviceAccount(object);
      return account !== undefined && isKept(account) ? account : undefined;
    },
  };
}

/** Lists ServiceAccounts. @throws {KubeError} */
export async function listServiceAccounts(
  config: ClusterConfig,
  which: ServiceAccountsOf,
  stop: AbortSignal,
): Promise<ServiceAccount[]> {
  return (await listAll(config, serviceAccounts(which), stop)).items;
}

/** Follows ServiceAccounts: see {@link follow}. */
export function watchServiceAccounts({
  which,
  ...options
}: WatchSettings & { config: ClusterConfig; which: ServiceAccountsOf; sink: Sink<ServiceAccount> }): Watch {
  return follow({ ...options, resource: serviceAccounts(which) });
}

/** Reads and patches single ServiceAccounts. Every failure is a {@link KubeError}. */
export interface ServiceAccountApi {
  /** The ServiceAccount, or undefined where there is none. */
  read(namespace: string, name: string): Promise<ServiceAccount | undefined>;
  /** Sends a JSON patch and gives back what is stored then; `invalid` where one of its tests fails. */
  patch(account: ServiceAccount, patch: readonly Operation[]): Promise<ServiceAccount>;
}

/** Makes the calls for ServiceAccounts on the API server that the config names. */
export function serviceAccountApi(config: ClusterConfig): ServiceAccountApi {
  const api = coreApi(config);
  const checked = (object: unknown, operation: string): ServiceAccount => {
    const account = serviceAccount(object);
    if (account !== undefined) return account;
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a ServiceAccount' });
  };
  return {
    read: async (namespace, name) => {
      const operation = `read ServiceAccount ${namespace}/${name}`;
      return await unlessMissing(operation, async () =>
        checked(await api.readNamespacedServiceAccount({ namespace, name }), operation),
      );
    },
    patch: async ({ namespace, name }, patch) => {
      const operation = `patch ServiceAccount ${namespace}/${name}`;
      const asJsonPatch = setHeaderOptions('Content-Type', PatchStrategy.JsonPatch);
      const request = { namespace, name, body: patch, fieldManager };
      return await attempt(operation, async () =>
        checked(await api.patchNamespacedServiceAccount(request, asJsonPatch), operation),
      );
    },
  };
}
