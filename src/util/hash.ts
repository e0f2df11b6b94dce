// Hashes texts: to spread work evenly, and to compare long texts by a short one.

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

/** Maps a text to a number from 0 to 1, evenly spread over different texts and always the same for one text. */
export function hashFraction(text: string): number {
  return hash32(text) / 2 ** 32;
}

/**
 * A 64-bit hash as 16 hexadecimal digits, the same in every process. Two 32-bit lanes with different multipliers and rotations,
 * and the finalizer of MurmurHash3 over both. Not cryptographic: anyone who chooses both texts can find two with one hash.
 */
export function hash64(text: string): string {
  let a = 0x9747b28c;
  let b = 0x2f6e2b1d;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    a = Math.imul(a ^ code, 0x9e3779b1);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ code, 0x5f356495);
    b = (b << 17) | (b >>> 15);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return toHex(a) + toHex(b);
}

function toHex(number: number): string {
  return (number >>> 0).toString(16).padStart(8, '0');
}
