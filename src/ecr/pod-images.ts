import { getField, getItems } from '../util/json.ts';
import { getImageHost, parseEcrHost, type Registry } from './registry.ts';

const containerFields = ['initContainers', 'containers', 'ephemeralContainers'] as const;

/**
 * Every image reference in a pod's spec, in the order of the spec: init, ordinary and ephemeral containers, then
 * image volumes. The spec is taken as the API server sent it, unvalidated: what is not of the expected shape is
 * passed over, never thrown on.
 */
export function getPodImages(pod: unknown): string[] {
  const spec = getField(pod, 'spec');
  const images: string[] = [];
  const add = (image: unknown) => {
    if (typeof image === 'string') {
      images.push(image);
    }
  };
  for (const list of containerFields) {
    for (const container of getItems(getField(spec, list))) {
      add(getField(container, 'image'));
    }
  }
  for (const volume of getItems(getField(spec, 'volumes'))) {
    add(getField(getField(volume, 'image'), 'reference'));
  }
  return images;
}

/**
 * The ECR registries that a pod pulls from, each host once, in the order in which the pod names them.
 * @param parseHost what reads a host, if not parseEcrHost itself
 */
export function getPodRegistries(pod: unknown, parseHost: typeof parseEcrHost = parseEcrHost): Registry[] {
  const registries = new Map<string, Registry>();
  for (const image of getPodImages(pod)) {
    const host = getImageHost(image);
    if (host !== undefined && !registries.has(host)) {
      const registry = parseHost(host);
      if (registry !== undefined) {
        registries.set(registry.host, registry);
      }
    }
  }
  return [...registries.values()];
}
