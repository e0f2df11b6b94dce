// Finds the images of a pod, and the registries that they are pulled from.
import { getField, getItems } from '../util/json.ts';
import { getImageHost, type Registry, type RegistryResolver } from './registry.ts';

const containerFields = ['initContainers', 'containers', 'ephemeralContainers'] as const;

/**
 * Returns every image reference in a pod's spec: those of init containers, containers and ephemeral containers, then
 * those of image volumes. The spec is not validated, so values of unexpected types are skipped. Never throws.
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

/** Returns the registries that a pod pulls from, each host once, in the order of {@link getPodImages}. */
export function getPodRegistries(pod: unknown, resolveRegistry: RegistryResolver): Registry[] {
  const registries = new Map<string, Registry>();
  for (const image of getPodImages(pod)) {
    const host = getImageHost(image);
    if (host !== undefined && !registries.has(host)) {
      const registry = resolveRegistry(host);
      if (registry !== undefined) {
        registries.set(registry.host, registry);
      }
    }
  }
  return [...registries.values()];
}
