// Watches the labels of namespaces.
import type { ClusterConfig } from './client.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { listAll } from './list.ts';
import {
  acceptMetadata,
  getMetadata,
  pickStrings,
  type Resource,
  type ResourceEventHandler,
} from './resource.ts';

/** A namespace with some of its labels. */
export interface LabelledNamespace {
  readonly name: string;
  /** Only the watched keys. */
  readonly labels: Readonly<Record<string, string>>;
}

interface NamespaceLabelsOptions extends CommonInformerOptions {
  readonly config: ClusterConfig;
  /** Keys of the labels to keep. A namespace can have thousands of labels, and a cluster thousands of namespaces. */
  readonly keys: ReadonlySet<string>;
  readonly handler: ResourceEventHandler<LabelledNamespace>;
}

/** Watches the labels of all namespaces; see {@link createInformer}. Only metadata is transferred. */
export function watchNamespaceLabels({ keys, ...options }: NamespaceLabelsOptions): Informer {
  return createInformer({ ...options, resource: createResource(keys) });
}

/**
 * Lists all namespaces with their labels.
 * @throws {KubeError}
 */
export async function listNamespaceLabels(
  config: ClusterConfig,
  keys: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<LabelledNamespace[]> {
  return (await listAll(config, createResource(keys), signal)).items;
}

function createResource(keys: ReadonlySet<string>): Resource<LabelledNamespace> {
  return {
    noun: 'namespaces',
    path: '/api/v1/namespaces',
    query: {},
    accept: acceptMetadata,
    parseItem: (object) => parseNamespace(object, keys),
  };
}

function parseNamespace(object: unknown, keys: ReadonlySet<string>): LabelledNamespace | undefined {
  const { name, labels } = getMetadata(object);
  return typeof name === 'string' ? { name, labels: pickKeys(labels, keys) } : undefined;
}

/** Returns the entries of an object whose keys are given and whose values are strings. */
export function pickKeys(value: unknown, keys: ReadonlySet<string>): Record<string, string> {
  return Object.fromEntries(Object.entries(pickStrings(value)).filter(([key]) => keys.has(key)));
}
