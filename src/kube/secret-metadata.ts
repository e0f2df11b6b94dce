import type { ClusterConfig } from './client.ts';
import { type FieldOwner, fieldOwners } from './field-managers.ts';
import { follow, type Watch, type WatchSettings } from './informer.ts';
import { type Listed, listAll } from './list.ts';
import { ACCEPT_METADATA, metadataOf, type ObjectIdentity, type Resource, texts } from './resource.ts';

/** What the watch tells about one Secret: no data. */
export interface SecretMetadata {
  namespace: string;
  uid: string;
  resourceVersion: string;
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  /** Who was the last to set which key. */
  owners: readonly FieldOwner[];
}

/** Where the watch puts what it sees. Its methods are called in the order of the API server's changes. */
export interface SecretMetadataSink {
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
export function secretMetadata(object: unknown): SecretMetadata | undefined {
  const { namespace, uid, resourceVersion, labels, annotations, managedFields } = metadataOf(object);
  if (typeof namespace !== 'string' || typeof uid !== 'string' || typeof resourceVersion !== 'string') {
    return undefined;
  }
  const owners = fieldOwners(managedFields);
  return { namespace, uid, resourceVersion, labels: texts(labels), annotations: texts(annotations), owners };
}

/** What to watch, and whom to tell. */
export interface SecretWatchOptions extends WatchSettings {
  config: ClusterConfig;
  /** The name that all watched Secrets have. */
  name: string;
  sink: SecretMetadataSink;
}

/** A running watch of Secrets. */
export type SecretWatch = Watch;

/** Metadata of all Secrets of one name in all namespaces: RBAC on that name suffices to list and watch them. */
function secretsNamed(name: string): Resource<SecretMetadata> {
  return {
    noun: `Secrets named ${name}`,
    path: '/api/v1/secrets',
    query: { fieldSelector: `metadata.name=${name}` },
    accept: ACCEPT_METADATA,
    item: secretMetadata,
  };
}

/** Follows the metadata of all Secrets of one name in all namespaces. See {@link follow}. */
export function watchSecretMetadata({ name, sink, ...options }: SecretWatchOptions): SecretWatch {
  return follow({
    ...options,
    resource: secretsNamed(name),
    sink: {
      replace: (items) => sink.replace(items),
      set: (item) => sink.set(item),
      remove: ({ namespace }, resourceVersion) => sink.remove(namespace, resourceVersion),
      reject: (object) => sink.reject?.(object),
    },
  });
}

/** Lists the metadata of the Secrets of one name in all namespaces. See {@link listAll}. */
export async function listSecretMetadata(
  config: ClusterConfig,
  name: string,
  stop: AbortSignal,
): Promise<Listed<SecretMetadata>> {
  return await listAll(config, secretsNamed(name), stop);
}
