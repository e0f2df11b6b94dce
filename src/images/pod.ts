import { type Registry, registryOfImage } from './registry.ts';
import { field, items } from './unvalidated.ts';

const containerLists = ['initContainers', 'containers', 'ephemeralContainers'] as const;

/**
 * Every image reference in a pod's spec, in the order of the spec: init, ordinary and ephemeral containers, then
 * image volumes. The spec is taken as the API server sent it, unvalidated: what is not of the expected shape is
 * passed over, never thrown on.
 */
export function imagesOfPod(pod: unknown): string[] {
  const spec = field(pod, 'spec');
  const containers = containerLists.flatMap((list) => items(field(spec, list)));
  const images = containers.map((container) => field(container, 'image'));
  const volumes = items(field(spec, 'volumes')).map((volume) => field(field(volume, 'image'), 'reference'));
  return [...images, ...volumes].filter((image) => typeof image === 'string');
}

/** The ECR registries that a pod pulls from, each host once, in the order in which the pod names them. */
export function registriesOfPod(pod: unknown): Registry[] {
  const registries = new Map<string, Registry>();
  for (const image of imagesOfPod(pod)) {
    const registry = registryOfImage(image);
    if (registry !== undefined) {
      registries.set(registry.host, registry);
    }
  }
  return [...registries.values()];
}
