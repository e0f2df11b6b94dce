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

/** Linear in both lengths: searches once for each piece between two stars, from left to right. */
function matches(pattern: string, text: string): boolean {
  if (!pattern.includes('*')) {
    return pattern === text;
  }
  const [head = '', ...pieces] = pattern.split('*');
  const tail = pieces.pop() ?? '';
  if (!text.startsWith(head)) {
    return false;
  }
  let from = head.length;
  for (const piece of pieces) {
    const at = text.indexOf(piece, from);
    if (at < 0) {
      return false;
    }
    from = at + piece.length;
  }
  return text.length - tail.length >= from && text.endsWith(tail);
}
