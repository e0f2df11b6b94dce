// Splits a JSON object into its members, keeping duplicate names and the original text, which JSON.parse loses.

/** A member of a JSON object. */
export interface Member {
  /** Unescaped, as `JSON.parse` returns it. */
  readonly name: string;
  /** The value's JSON, possibly followed by whitespace. */
  readonly json: string;
  /** Levels of objects and arrays in the value: 0 for a scalar, 1 for `{}`. */
  readonly depth: number;
}

/**
 * The members of an object, in order. Linear in the length of the text, whatever its depth.
 * @param json valid JSON: text that `JSON.parse` has accepted, or a member's `json`
 * @returns undefined if the value is not an object
 */
export function parseMembers(json: string): Member[] | undefined {
  let at = skipWhitespace(json, 0);
  if (json[at] !== '{') {
    return undefined;
  }
  const members: Member[] = [];
  at = skipWhitespace(json, at + 1);
  while (at < json.length && json[at] !== '}') {
    const nameEnd = findStringEnd(json, at);
    const from = skipWhitespace(json, skipWhitespace(json, nameEnd) + 1);
    const { end, depth } = findValueEnd(json, from);
    members.push({ name: parseString(json.slice(at, nameEnd)), json: json.slice(from, end), depth });
    at = json[end] === ',' ? skipWhitespace(json, end + 1) : end;
  }
  return members;
}

/** The position of the comma or brace after a member's value, and the depth of the value. */
function findValueEnd(json: string, from: number): { end: number; depth: number } {
  let [at, level, depth] = [from, 0, 0];
  while (at < json.length) {
    const character = json[at];
    if (level === 0 && (character === ',' || character === '}')) {
      break;
    }
    if (character === '"') {
      at = findStringEnd(json, at);
      continue;
    }
    if (character === '{' || character === '[') {
      level += 1;
      depth = Math.max(depth, level);
    } else if (character === '}' || character === ']') {
      level -= 1;
    }
    at += 1;
  }
  return { end: at, depth };
}

/** The position after a string's closing quote, which is the first quote after an even number of backslashes. */
function findStringEnd(json: string, openingQuote: number): number {
  for (let from = openingQuote + 1; ; ) {
    const quote = json.indexOf('"', from);
    if (quote === -1) {
      return json.length;
    }
    let start = quote;
    while (json.charCodeAt(start - 1) === backslash) {
      start -= 1;
    }
    if ((quote - start) % 2 === 0) {
      return quote + 1;
    }
    from = quote + 1;
  }
}

const backslash = 0x5c;

/** Parses a JSON string. Most names have no escapes, and a Secret can hold 100,000 names. */
function parseString(json: string): string {
  return json.includes('\\') ? JSON.parse(json) : json.slice(1, -1);
}

function skipWhitespace(json: string, from: number): number {
  let at = from;
  while (json[at] === ' ' || json[at] === '\n' || json[at] === '\r' || json[at] === '\t') {
    at += 1;
  }
  return at;
}
