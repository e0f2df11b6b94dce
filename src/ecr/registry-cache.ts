import { LRUCache } from 'lru-cache';
import { parseEcrHost, type Registry } from './registry.ts';

/** Anybody may name any host; a cluster has a few. */
const maxCachedHosts = 1_000;

/** Makes a function that reads hosts as parseEcrHost does, and remembers what it read: pods name the same few all the time. */
export function createCachedHostParser(): typeof parseEcrHost {
  const cache = new LRUCache<string, Registry>({ max: maxCachedHosts });
  return (host) => {
    const cached = cache.get(host);
    if (cached !== undefined) {
      return cached;
    }
    // a copy: a part of a text keeps all of it in memory, and an image name may have a megabyte
    const registry = parseEcrHost(Buffer.from(host).toString());
    if (registry !== undefined) {
      cache.set(registry.host, registry);
    }
    return registry;
  };
}
