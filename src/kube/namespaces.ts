import type { ClusterConfig } from './client.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { listAll } from './list.ts';
import { acceptMetadata, getMetadata, type Resource, type ResourceEventHandler } from './resource.ts';

/** What is kept of a namespace. */
export interface Namespace {
  readonly name: string;
  /** It is being deleted: nothing new can be made in it. */
  readonly isTerminating: boolean;
}

/** @param selector of labels, as kubectl takes it; empty: all namespaces */
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

/** Lists the namespaces that a selector of labels chooses. @throws {KubeError} */
export async function listNamespaces(
  config: ClusterConfig,
  labelSelector: string,
  signal: AbortSignal,
): Promise<Namespace[]> {
  return (await listAll(config, createNamespaceResource(labelSelector), signal)).items;
}

/** Follows them: see {@link createInformer}. One that no longer has the labels is told as removed. */
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
