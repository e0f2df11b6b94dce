/** Whether a text matches one of the patterns, in which `*` stands for any run of characters. */
export function matchesAny(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matches(pattern, text));
}

/** In time proportional to both lengths: each piece between stars is looked for once, leftmost first. */
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
