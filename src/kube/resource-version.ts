// Compares resourceVersions.

/** A well-formed resourceVersion of an object. `0` and the empty string mean "any version" and "none". */
const comparablePattern = /^[1-9]\d*$/;

/**
 * Compares the resourceVersions of two objects or two lists of one resource, as client-go does (KEP-5504, "Comparable Resource
 * Version"): they are decimal integers of any length without leading zeros, and the larger one is later.
 * @returns -1 if `a` is earlier than `b`, 1 if it is later, 0 if they are equal; undefined if one of them is missing or has
 *   another format. In that case callers use the order in which they received them.
 */
export function compareResourceVersions(
  a: string | undefined,
  b: string | undefined,
): -1 | 0 | 1 | undefined {
  if (a === undefined || b === undefined || !comparablePattern.test(a) || !comparablePattern.test(b)) {
    return undefined;
  }
  if (a === b) {
    return 0;
  }
  return (a.length === b.length ? a < b : a.length < b.length) ? -1 : 1;
}
