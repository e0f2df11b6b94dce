import type { ClusterConfig } from './client.ts';
import { type FieldOwner, parseFieldOwners } from './field-managers.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { type ListResult, listAll } from './list.ts';
import { acceptMetadata, getMetadata, type ObjectIdentity, pickStrings, type Resource } from './resource.ts';

/** What the watch tells about one Secret: no data. */
export interface SecretMetadata {
  namespace: string;
  uid: string;
  resourceVersion: string;
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  /** Who was the last to set which key. */
  fieldOwners: readonly FieldOwner[];
}

/** Where the watch puts what it sees. Its methods are called in the order of the API server's changes. */
export interface SecretEventHandler {
  /** These are all there are: after a list. */
  replace(items: readonly SecretMetadata[]): void;
  /** This one is new or changed. */
  set(item: SecretMetadata): void;
  /** The namespace's Secret is gone as of this resourceVersion. */
  remove(namespace: string, resourceVersion: string): void;
  /** The namespace's Secret could not be read: it counts as unmanaged. */
  reject?(object: ObjectIdentity): void;
}

/** Keeps of a PartialObjectMetadata what {@link SecretMetadata} has; undefined where it is none. */
export function parseSecretMetadata(object: unknown): SecretMetadata | undefined {
  const { namespace, uid, resourceVersion, labels, annotations, managedFields } = getMetadata(object);
  if (typeof namespace !== 'string' || typeof uid !== 'string' || typeof resourceVersion !== 'string') {
    return undefined;
  }
  const owners = parseFieldOwners(managedFields);
  return {
    namespace,
    uid,
    resourceVersion,
    labels: pickStrings(labels),
    annotations: pickStrings(annotations),
    fieldOwners: owners,
  };
}

/** What to watch, and whom to tell. */
export interface SecretInformerOptions extends CommonInformerOptions {
  config: ClusterConfig;
  /** The name that all watched Secrets have. */
  name: string;
  handler: SecretEventHandler;
}

/** A running watch of Secrets. */
export type SecretInformer = Informer;

/** Metadata of all Secrets of one name in all namespaces: RBAC on that name suffices to list and watch them. */
function createSecretResource(name: string): Resource<SecretMetadata> {
  return {
    noun: `Secrets named ${name}`,
    path: '/api/v1/secrets',
    query: { fieldSelector: `metadata.name=${name}` },
    accept: acceptMetadata,
    parseItem: parseSecretMetadata,
  };
}

/** Follows the metadata of all Secrets of one name in all namespaces. See {@link createInformer}. */
export function watchSecretMetadata({ name, handler, ...options }: SecretInformerOptions): SecretInformer {
  return createInformer({
    ...options,
    resource: createSecretResource(name),
    handler: {
      replace: (items) => handler.replace(items),
      set: (item) => handler.set(item),
      remove: ({ namespace }, resourceVersion) => handler.remove(namespace, resourceVersion),
      reject: (object) => handler.reject?.(object),
    },
  });
}

/** Lists the metadata of the Secrets of one name in all namespaces. See {@link listAll}. */
export async function listSecretMetadata(
  config: ClusterConfig,
  name: string,
  signal: AbortSignal,
): Promise<ListResult<SecretMetadata>> {
  return await listAll(config, createSecretResource(name), signal);
}
