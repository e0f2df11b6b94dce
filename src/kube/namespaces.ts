import type { ClusterConfig } from './client.ts';
import { follow, type Watch, type WatchSettings } from './informer.ts';
import { listAll } from './list.ts';
import { ACCEPT_METADATA, metadataOf, type Resource, type Sink } from './resource.ts';

/** What is kept of a namespace. */
export interface Namespace {
  readonly name: string;
  /** It is being deleted: nothing new can be made in it. */
  readonly terminating: boolean;
}

/** @param selector of labels, as kubectl takes it; empty: all namespaces */
function namespaces(selector: string): Resource<Namespace> {
  return {
    noun: selector === '' ? 'namespaces' : `namespaces with ${selector}`,
    path: '/api/v1/namespaces',
    query: selector === '' ? {} : { labelSelector: selector },
    accept: ACCEPT_METADATA,
    item: (object) => {
      const { name, deletionTimestamp } = metadataOf(object);
      return typeof name === 'string' ? { name, terminating: deletionTimestamp !== undefined } : undefined;
    },
  };
}

/** Lists the namespaces that a selector of labels chooses. @throws {KubeError} */
export async function listNamespaces(
  config: ClusterConfig,
  selector: string,
  stop: AbortSignal,
): Promise<Namespace[]> {
  return (await listAll(config, namespaces(selector), stop)).items;
}

/** Follows them: see {@link follow}. One that no longer has the labels is told as removed. */
export function watchNamespaces({
  selector,
  ...options
}: WatchSettings & { config: ClusterConfig; selector: string; sink: Sink<Namespace> }): Watch {
  return follow({ ...options, resource: namespaces(selector) });
}
