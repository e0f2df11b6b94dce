// Scans JSON before it is parsed: bounds the number of values, and strips managed fields.
const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBracket = 0x5b;
const openBrace = 0x7b;

/**
 * Whether a JSON text may have more than `max` values. Counts each comma, array and object outside of strings, which is at
 * least the number of values minus one. Reads each byte at most once, and stops as soon as the result is known. Also returns a
 * result for a text that is not valid JSON.
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

/** The position of the closing quote of a string whose content starts at `from`; the length if there is none. */
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
 * Empties all `managedFields` arrays of a JSON text. The API server sends them with each pod, the webhook does not read them,
 * and their many small objects make up a quarter of the cost of parsing a review (docs/explanation/decisions/0007). The rest of
 * the text is unchanged; invalid JSON stays invalid, unless the error is within such an array. Linear in the length.
 * @param json as the API server's encoder writes it; arrays with other spacing are kept
 */
export function stripManagedFields(json: Buffer): string {
  let text = '';
  let copiedUpTo = 0;
  let at = json.indexOf(listStart);
  while (at >= 0) {
    let next = at + listStart.length;
    // A quote without a backslash before it cannot be inside of a string, so this is a key.
    if (json[at - 1] !== backslash) {
      text += json.toString('utf8', copiedUpTo, next);
      next = findListEnd(json, next);
      copiedUpTo = next;
    }
    at = json.indexOf(listStart, next);
  }
  return text + json.toString('utf8', copiedUpTo);
}

/** The position of the closing bracket of an array whose content starts at `from`; the length if there is none. */
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
