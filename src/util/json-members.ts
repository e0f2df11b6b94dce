// Reads the members of a JSON object with their duplicates and as text, which JSON.parse does not.

/** A member of a JSON object. */
export interface Member {
  /** As `JSON.parse` gives it. */
  readonly name: string;
  /** The value's JSON, possibly with whitespace behind it. */
  readonly json: string;
  /** Levels of objects and arrays in the value: 0 for a scalar, 1 for `{}`. */
  readonly depth: number;
}

/**
 * The members of an object, in their order. Linear in the length of the text, whatever its depth.
 * @param json valid JSON: text that `JSON.parse` has accepted, or a member's `json`
 * @returns undefined where the value is not an object
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

/** Where the comma or brace is that follows a member's value, and how deep the value is nested. */
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

/** The position behind a string's closing quote: the first quote that follows an even number of backslashes. */
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

/** What a JSON string says; a Secret can hold 100,000 names, most of them without escapes. */
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
