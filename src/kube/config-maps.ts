// Lists the metadata of ConfigMaps by their labels, and reads single ones.
import { getField } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { visitAll } from './list.ts';
import { readByName } from './object-by-name.ts';
import {
  acceptMetadata,
  getMetadata,
  getResourcePath,
  pickKeys,
  pickStrings,
  type Resource,
} from './resource.ts';

/** The name of a ConfigMap. */
export interface ConfigMapName {
  readonly namespace: string;
  readonly name: string;
}

/** Which ConfigMaps to list. */
interface ConfigMapSelection {
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  /** A label selector as for kubectl. */
  readonly selector: string;
  /** Keys of the labels that `matches` receives. */
  readonly labelKeys: ReadonlySet<string>;
  matches(labels: Readonly<Record<string, string>>): boolean;
  /** Maximum number of names that are kept; all are counted. */
  readonly maxNames: number;
}

/** The first ConfigMaps that were found, and the number of all. */
export interface ConfigMapNames {
  readonly names: readonly ConfigMapName[];
  readonly count: number;
}

/**
 * Lists the names of ConfigMaps in bounded memory, because tenants may create ConfigMaps of any number and size.
 * @throws {KubeError}
 */
export async function listConfigMapNames(
  config: ClusterConfig,
  { namespace, selector, labelKeys, matches, maxNames }: ConfigMapSelection,
  signal: AbortSignal,
): Promise<ConfigMapNames> {
  const resource: Resource<ConfigMapName> = {
    noun: namespace === undefined ? 'ConfigMaps' : `ConfigMaps of namespace ${namespace}`,
    path: getResourcePath('configmaps', namespace),
    query: { labelSelector: selector },
    accept: acceptMetadata,
    parseItem: (object) => {
      const { namespace: own, name, labels } = getMetadata(object);
      return typeof own === 'string' && typeof name === 'string' && matches(pickKeys(labels, labelKeys))
        ? { namespace: own, name }
        : undefined;
    },
  };
  const names: ConfigMapName[] = [];
  let count = 0;
  await visitAll(config, resource, signal, (name) => {
    count += 1;
    if (names.length < maxNames) {
      names.push(name);
    }
  });
  return { names, count };
}

/**
 * Reads one key of a ConfigMap.
 * @returns undefined if the ConfigMap or the key does not exist
 * @throws {KubeError}
 */
export async function readConfigMapKey(
  config: ClusterConfig,
  { namespace, name }: ConfigMapName,
  key: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const noun = `ConfigMap ${namespace}/${name}`;
  const object = await readByName(
    config,
    { path: getResourcePath('configmaps', namespace), name, noun },
    signal,
  );
  return pickStrings(getField(object, 'data'))[key];
}
