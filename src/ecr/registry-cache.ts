// Caches which hosts are registries.
import { LRUCache } from 'lru-cache';
import type { Registry, RegistryResolver } from './registry.ts';

/** A cluster uses a few registries, but users can name any number of hosts. */
const maxCachedHosts = 1_000;

/** Wraps a resolver with a cache, because the pods of a cluster name the same few hosts all the time. */
export function createCachedRegistryResolver(resolveRegistry: RegistryResolver): RegistryResolver {
  const cache = new LRUCache<string, Registry>({ max: maxCachedHosts });
  return (host) => {
    const cached = cache.get(host);
    if (cached !== undefined) {
      return cached;
    }
    // a copy, because a substring keeps the whole image reference in memory, which may be a megabyte long
    const registry = resolveRegistry(Buffer.from(host).toString());
    if (registry !== undefined) {
      cache.set(registry.host, registry);
    }
    return registry;
  };
}
