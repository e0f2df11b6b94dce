// Compares resource versions.

/** A well-formed resource version of an object. `0` and the empty text stand for "any version" and "none". */
const comparable = /^[1-9]\d*$/;

/**
 * Compares the resource versions of two objects of one resource, or of two lists of it, as client-go does (KEP-5504,
 * "Comparable Resource Version"): they are decimal integers of any length without leading zeros, and the larger one is the
 * later one.
 *
 * @returns -1 where `a` is earlier than `b`, 1 where it is later, 0 where they are the same version; undefined where one of
 *   them is missing or not of this form. Then nothing is known of their order, and callers go by the order in which they
 *   saw them: what came last counts.
 */
export function compareResourceVersions(
  a: string | undefined,
  b: string | undefined,
): -1 | 0 | 1 | undefined {
  if (a === undefined || b === undefined || !comparable.test(a) || !comparable.test(b)) {
    return undefined;
  }
  if (a === b) {
    return 0;
  }
  return (a.length === b.length ? a < b : a.length < b.length) ? -1 : 1;
}
