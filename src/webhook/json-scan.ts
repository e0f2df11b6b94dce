// Bounds what a JSON text costs to parse, before it is parsed.
const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBracket = 0x5b;
const openBrace = 0x7b;

/**
 * Whether a JSON text may hold more than `max` values. Each comma, array and object outside of strings counts as one,
 * which is never less than the number of values but for one. Reads each byte at most once, and no more of the text than it
 * takes to decide. A text that is not JSON gets an answer as well, and costs no more to refuse.
 */
export function mayExceedValueCount(json: Buffer, max: number): boolean {
  let values = 0;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === quote) {
      at = findStringEnd(json, at + 1);
    } else if (byte === comma || byte === openBrace || byte === openBracket) {
      values += 1;
      if (values > max) {
        return true;
      }
    }
  }
  return false;
}

/** The position of the quote that closes a string whose content begins at `from`; the length if none does. */
function findStringEnd(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length && json[at] !== quote) {
    at += json[at] === backslash ? 2 : 1;
  }
  return at;
}

const listStart = Buffer.from('"managedFields":[');
const closeBracket = 0x5d;

/**
 * The text of a review with the lists of all `managedFields` empty. The API server puts them on each pod, nobody here
 * reads them, and their many small objects make a fourth of what a review costs to parse (docs/explanation/decisions/0007). JSON
 * stays the same JSON but for them, and what is no JSON stays none, unless what is wrong is inside of such a list. In
 * time linear in the length.
 * @param json as the API server's encoder writes it; what is spaced otherwise comes back as it is
 */
export function stripManagedFields(json: Buffer): string {
  let text = '';
  let copiedUpTo = 0;
  let at = json.indexOf(listStart);
  while (at >= 0) {
    let next = at + listStart.length;
    // Without a backslash before its quote it is a key: no text can hold such a quote.
    if (json[at - 1] !== backslash) {
      text += json.toString('utf8', copiedUpTo, next);
      next = findListEnd(json, next);
      copiedUpTo = next;
    }
    at = json.indexOf(listStart, next);
  }
  return text + json.toString('utf8', copiedUpTo);
}

/** Where the bracket is that closes a list whose content begins at `from`; the end of all if it is never closed. */
function findListEnd(json: Buffer, from: number): number {
  let depth = 1;
  for (let at = from; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === quote) {
      at = findStringEnd(json, at + 1);
    } else if (byte === openBracket) {
      depth += 1;
    } else if (byte === closeBracket) {
      depth -= 1;
      if (depth === 0) {
        return at;
      }
    }
  }
  return json.length;
}
