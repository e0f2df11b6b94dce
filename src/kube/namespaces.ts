// Lists and watches namespaces.
import type { ClusterConfig } from './client.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { listAll } from './list.ts';
import { acceptMetadata, getMetadata, type Resource, type ResourceEventHandler } from './resource.ts';

/** The parts of a namespace that are kept. */
export interface Namespace {
  readonly name: string;
  /** Whether it is being deleted, so that nothing can be created in it. */
  readonly isTerminating: boolean;
}

/** @param selector a label selector as for kubectl; empty selects all namespaces */
function createNamespaceResource(selector: string): Resource<Namespace> {
  return {
    noun: selector === '' ? 'namespaces' : `namespaces with ${selector}`,
    path: '/api/v1/namespaces',
    query: selector === '' ? {} : { labelSelector: selector },
    accept: acceptMetadata,
    parseItem: (object) => {
      const { name, deletionTimestamp } = getMetadata(object);
      return typeof name === 'string' ? { name, isTerminating: deletionTimestamp !== undefined } : undefined;
    },
  };
}

/**
 * Lists the namespaces that a label selector selects; empty selects all.
 * @throws {KubeError}
 */
export async function listNamespaces(
  config: ClusterConfig,
  labelSelector: string,
  signal: AbortSignal,
): Promise<Namespace[]> {
  return (await listAll(config, createNamespaceResource(labelSelector), signal)).items;
}

/** Watches namespaces; see {@link createInformer}. One that no longer matches the selector is reported as removed. */
export function watchNamespaces({
  selector,
  ...options
}: CommonInformerOptions & {
  config: ClusterConfig;
  selector: string;
  handler: ResourceEventHandler<Namespace>;
}): Informer {
  return createInformer({ ...options, resource: createNamespaceResource(selector) });
}
