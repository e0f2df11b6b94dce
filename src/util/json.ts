// Reads values of unknown shape, such as parsed JSON.

/** Whether a value is an object with fields: neither null nor an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field of a value; undefined if the value is not an object or has no such field. */
export function getField(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined;
}

/** The items of a value; empty if it is not an array. */
export function getItems(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A text; empty if the value is none. */
export function toText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Parses JSON; undefined if the text is not valid JSON. */
export function parseJsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether a text is valid JSON. */
export function isJson(text: string): boolean {
  return parseJsonOrUndefined(text) !== undefined;
}
