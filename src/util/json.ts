/** Whether a value that came from outside is an object with fields: neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field of a value that may be anything; undefined where there is none. */
export function getField(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined;
}

/** The items of a value that may be anything; none where it is no list. */
export function getItems(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
