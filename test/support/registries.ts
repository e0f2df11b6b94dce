// Registries by host name, as the program recognizes them.
import assert from 'node:assert/strict';
import { createRegistryResolver, getImageHost, type Registry } from '../../src/ecr/registry.ts';

export const resolveRegistry = createRegistryResolver({});

/** The registry of a host. Fails if the host is not recognized. */
export function registryOfHost(host: string): Registry {
  const registry = resolveRegistry(host);
  assert.ok(registry, `${host} is not an ECR host`);
  return registry;
}

/** The registry that an image reference names. */
export function getImageRegistry(image: string): Registry | undefined {
  const host = getImageHost(image);
  return host === undefined ? undefined : resolveRegistry(host);
}
