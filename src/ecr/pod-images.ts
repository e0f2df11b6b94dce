import { field, items } from '../util/json.ts';
import { hostOfImage, parseEcrHost, type Registry } from './registry.ts';

const containerLists = ['initContainers', 'containers', 'ephemeralContainers'] as const;

/**
 * Every image reference in a pod's spec, in the order of the spec: init, ordinary and ephemeral containers, then
 * image volumes. The spec is taken as the API server sent it, unvalidated: what is not of the expected shape is
 * passed over, never thrown on.
 */
export function imagesOfPod(pod: unknown): string[] {
  const spec = field(pod, 'spec');
  const images: string[] = [];
  const add = (image: unknown) => {
    if (typeof image === 'string') {
      images.push(image);
    }
  };
  for (const list of containerLists) {
    for (const container of items(field(spec, list))) {
      add(field(container, 'image'));
    }
  }
  for (const volume of items(field(spec, 'volumes'))) {
    add(field(field(volume, 'image'), 'reference'));
  }
  return images;
}

/**
 * The ECR registries that a pod pulls from, each host once, in the order in which the pod names them.
 * @param read what reads a host, if not parseEcrHost itself
 */
export function registriesOfPod(pod: unknown, read: typeof parseEcrHost = parseEcrHost): Registry[] {
  const registries = new Map<string, Registry>();
  for (const image of imagesOfPod(pod)) {
    const host = hostOfImage(image);
    if (host !== undefined && !registries.has(host)) {
      const registry = read(host);
      if (registry !== undefined) {
        registries.set(registry.host, registry);
      }
    }
  }
  return [...registries.values()];
}
