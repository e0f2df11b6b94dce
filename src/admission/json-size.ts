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
export function mayHoldMoreValues(json: Buffer, max: number): boolean {
  let values = 0;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === quote) {
      at = endOfString(json, at + 1);
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
export function endOfString(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length && json[at] !== quote) {
    at += json[at] === backslash ? 2 : 1;
  }
  return at;
}
