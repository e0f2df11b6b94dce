import type { ClusterConfig } from './config.ts';
import { follow, type Watch, type WatchSettings } from './follow.ts';
import { type Listed, listAll } from './list.ts';
import { type SecretMetadata, type SecretMetadataSink, secretMetadata } from './metadata.ts';
import { ACCEPT_METADATA, type Resource } from './resource.ts';

export type { SecretMetadata } from './metadata.ts';

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
