import { endOfString } from './json-size.ts';

const begin = Buffer.from('"managedFields":[');
const quote = 0x22;
const backslash = 0x5c;
const opening = 0x5b;
const closing = 0x5d;

/**
 * The text of a review with the lists of all `managedFields` empty. The API server puts them on each pod, nobody here
 * reads them, and their many small objects make a fourth of what a review costs to parse (docs/decisions/0007). JSON
 * stays the same JSON but for them, and what is no JSON stays none, unless what is wrong is inside of such a list. In
 * time linear in the length.
 * @param json as the API server's encoder writes it; what is spaced otherwise comes back as it is
 */
export function withoutManagedFields(json: Buffer): string {
  let text = '';
  let kept = 0;
  let at = json.indexOf(begin);
  while (at >= 0) {
    let next = at + begin.length;
    // Without a backslash before its quote it is a key: no text can hold such a quote.
    if (json[at - 1] !== backslash) {
      text += json.toString('utf8', kept, next);
      next = endOfList(json, next);
      kept = next;
    }
    at = json.indexOf(begin, next);
  }
  return text + json.toString('utf8', kept);
}

/** Where the bracket is that closes a list whose content begins at `from`; the end of all if it is never closed. */
function endOfList(json: Buffer, from: number): number {
  let depth = 1;
  for (let at = from; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === quote) {
      at = endOfString(json, at + 1);
    } else if (byte === opening) {
      depth += 1;
    } else if (byte === closing) {
      depth -= 1;
      if (depth === 0) {
        return at;
      }
    }
  }
  return json.length;
}
