// Matches names against patterns with `*`.

/**
 * Whether a text is a legal name of a Kubernetes object, or a pattern for such names. Another text matches nothing, and `..` in
 * the path of a request would address another object.
 */
export function isNameOrPattern(text: string): boolean {
  return text.length <= maxNameLength && /^[a-z0-9*]([a-z0-9.*-]*[a-z0-9*])?$/.test(text);
}

/** Maximum number of characters of a DNS subdomain (RFC 1123). */
const maxNameLength = 253;

/** Whether a text matches one of the patterns. `*` matches any number of characters, including none. */
export function matchesAny(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matches(pattern, text));
}

/** Prepares patterns that are compared with many texts. */
export function compilePatterns(patterns: readonly string[]): (text: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map(splitPattern);
  return (text) => exact.has(text) || globs.some((glob) => matchesPieces(glob, text));
}

/** A pattern with at least one star, split at its stars. */
interface PatternPieces {
  readonly head: string;
  readonly middle: readonly string[];
  readonly tail: string;
}

function matches(pattern: string, text: string): boolean {
  return pattern.includes('*') ? matchesPieces(splitPattern(pattern), text) : pattern === text;
}

function splitPattern(pattern: string): PatternPieces {
  const [head = '', ...middle] = pattern.split('*');
  const tail = middle.pop() ?? '';
  return { head, middle, tail };
}

/** Linear in both lengths: searches once for each piece between two stars, from left to right. */
function matchesPieces({ head, middle, tail }: PatternPieces, text: string): boolean {
  if (!text.startsWith(head)) {
    return false;
  }
  let from = head.length;
  for (const piece of middle) {
    const at = text.indexOf(piece, from);
    if (at < 0) {
      return false;
    }
    from = at + piece.length;
  }
  return text.length - tail.length >= from && text.endsWith(tail);
}
