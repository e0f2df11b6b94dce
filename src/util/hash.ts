/**
 * A 32-bit hash of a text: spreads evenly and is the same in every process. FNV-1a, finished as MurmurHash3 is, since
 * texts that differ in their last letter only would otherwise lie close together. No protection against anybody.
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
