// Watches the annotations of the ServiceAccounts of one name.
import type { ClusterConfig } from './client.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { listAll } from './list.ts';
import {
  acceptMetadata,
  getMetadata,
  pickKeys,
  type Resource,
  type ResourceEventHandler,
} from './resource.ts';

/** A ServiceAccount with some of its annotations. */
export interface AnnotatedServiceAccount {
  readonly namespace: string;
  readonly name: string;
  /** Only the watched keys. */
  readonly annotations: Readonly<Record<string, string>>;
}

interface ServiceAccountAnnotationsOptions extends CommonInformerOptions {
  readonly config: ClusterConfig;
  /** The name of all watched ServiceAccounts. RBAC on that name suffices to list and watch them. */
  readonly name: string;
  /** Keys of the annotations to keep. */
  readonly keys: ReadonlySet<string>;
  readonly handler: ResourceEventHandler<AnnotatedServiceAccount>;
}

/** Watches the ServiceAccounts of one name in all namespaces; see {@link createInformer}. Only metadata is transferred. */
export function watchServiceAccountAnnotations({
  name,
  keys,
  ...options
}: ServiceAccountAnnotationsOptions): Informer {
  return createInformer({ ...options, resource: createResource(name, keys) });
}

/**
 * Lists the ServiceAccounts of one name in all namespaces.
 * @throws {KubeError}
 */
export async function listServiceAccountAnnotations(
  config: ClusterConfig,
  name: string,
  keys: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<AnnotatedServiceAccount[]> {
  return (await listAll(config, createResource(name, keys), signal)).items;
}

function createResource(watchedName: string, keys: ReadonlySet<string>): Resource<AnnotatedServiceAccount> {
  return {
    noun: `ServiceAccounts named ${watchedName}`,
    path: '/api/v1/serviceaccounts',
    query: { fieldSelector: `metadata.name=${watchedName}` },
    accept: acceptMetadata,
    parseItem: (object) => {
      const { namespace, name, annotations } = getMetadata(object);
      return typeof namespace === 'string' && name === watchedName
        ? { namespace, name, annotations: pickKeys(annotations, keys) }
        : undefined;
    },
  };
}
