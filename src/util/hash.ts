// Hashes texts to spread work evenly.

/**
 * A 32-bit hash that spreads evenly and is the same in every process. FNV-1a with the finalizer of MurmurHash3, because
 * FNV-1a alone maps texts that differ only in their last character to nearby numbers. Not cryptographic.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
