// Lists ConfigMaps by their labels, and keeps one key of each.
import type { ClusterConfig } from './client.ts';
import { listAll } from './list.ts';
import { acceptObjects, getMetadata, pickKeys, pickStrings, type Resource } from './resource.ts';

/** One key of a ConfigMap. */
export interface ConfigMapFile {
  readonly namespace: string;
  readonly name: string;
  /** Only the labels that were asked for. */
  readonly labels: Readonly<Record<string, string>>;
  /** The value of the key. */
  readonly content: string;
}

/** Which ConfigMaps, and which parts of them. */
interface ConfigMapSelection {
  /** Default: all namespaces. */
  readonly namespace: string | undefined;
  /** A label selector as for kubectl. */
  readonly selector: string;
  readonly key: string;
  /** Keys of the labels to keep. */
  readonly labelKeys: ReadonlySet<string>;
}

/**
 * Lists the ConfigMaps that have a key.
 * @throws {KubeError}
 */
export async function listConfigMapFiles(
  config: ClusterConfig,
  { namespace, selector, key, labelKeys }: ConfigMapSelection,
  signal: AbortSignal,
): Promise<ConfigMapFile[]> {
  const resource: Resource<ConfigMapFile> = {
    noun: namespace === undefined ? 'ConfigMaps' : `ConfigMaps of namespace ${namespace}`,
    path:
      namespace === undefined
        ? '/api/v1/configmaps'
        : `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`,
    query: { labelSelector: selector },
    accept: acceptObjects,
    parseItem: (object) => {
      const { namespace: own, name, labels } = getMetadata(object);
      const content = pickStrings(Object(object)['data'])[key];
      return typeof own === 'string' && typeof name === 'string' && content !== undefined
        ? { namespace: own, name, labels: pickKeys(labels, labelKeys), content }
        : undefined;
    },
  };
  return (await listAll(config, resource, signal)).items;
}
