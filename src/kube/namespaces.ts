// Lists and watches namespaces.
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

/** The parts of a namespace that are kept. */
export interface Namespace {
  readonly name: string;
  /** Whether it is being deleted, so that nothing can be created in it. */
  readonly isTerminating: boolean;
  /** Only the labels that were asked for. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Which namespaces, and which parts of them. */
interface NamespaceSelection {
  /** A label selector as for kubectl; empty selects all namespaces. */
  readonly selector: string;
  /**
   * Keys of the labels to keep; none by default. A namespace can have thousands of labels, and a cluster thousands of
   * namespaces.
   */
  readonly labelKeys?: ReadonlySet<string>;
}

const noKeys: ReadonlySet<string> = new Set();

function createNamespaceResource({ selector, labelKeys = noKeys }: NamespaceSelection): Resource<Namespace> {
  return {
    noun: selector === '' ? 'namespaces' : `namespaces with ${selector}`,
    path: '/api/v1/namespaces',
    query: selector === '' ? {} : { labelSelector: selector },
    accept: acceptMetadata,
    parseItem: (object) => {
      const { name, deletionTimestamp, labels } = getMetadata(object);
      return typeof name === 'string'
        ? { name, isTerminating: deletionTimestamp !== undefined, labels: pickKeys(labels, labelKeys) }
        : undefined;
    },
  };
}

/**
 * Lists the selected namespaces.
 * @throws {KubeError}
 */
export async function listNamespaces(
  config: ClusterConfig,
  selection: NamespaceSelection,
  signal: AbortSignal,
): Promise<Namespace[]> {
  return (await listAll(config, createNamespaceResource(selection), signal)).items;
}

/** Watches namespaces; see {@link createInformer}. One that no longer matches the selector is reported as removed. */
export function watchNamespaces({
  selection,
  ...options
}: CommonInformerOptions & {
  config: ClusterConfig;
  selection: NamespaceSelection;
  handler: ResourceEventHandler<Namespace>;
}): Informer {
  return createInformer({ ...options, resource: createNamespaceResource(selection) });
}
