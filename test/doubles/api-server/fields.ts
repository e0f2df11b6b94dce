import { isObject } from './objects.ts';

/** A field: the keys that lead to it. */
export type Path = readonly string[];

// What the API server takes out of every manager's set: identity, and what it sets itself.
// https://github.com/kubernetes/apimachinery/blob/master/pkg/util/managedfields/internal/stripmeta.go
const NOT_OWNED = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'generation',
  'managedFields',
  'selfLink',
  'deletionTimestamp',
]);

const identity = (path: Path): boolean => {
  const [first, second] = path;
  if (path.length === 1) return first === 'apiVersion' || first === 'kind' || first === 'metadata';
  return first === 'metadata' && NOT_OWNED.has(second ?? '');
};

function* leaves(value: unknown, path: Path): Generator<Path> {
  if (value === undefined) return;
  if (isObject(value) && (Object.keys(value).length > 0 || path.length === 0)) {
    for (const [key, child] of Object.entries(value)) yield* leaves(child, [...path, key]);
  } else {
    yield path;
  }
}

/** The fields that an object sets and that can be owned: maps by key, lists as a whole. */
export function ownable(object: unknown): Path[] {
  return [...leaves(object, [])].filter((path) => !identity(path));
}

/** The value of a field, undefined where it is not set. */
export function valueAt(object: unknown, path: Path): unknown {
  let value = object;
  for (const key of path) value = isObject(value) ? value[key] : undefined;
  return value;
}

/** The object with this field set to this value, undefined taking it away; maps that end up empty go too. */
export function withValue(
  object: Record<string, unknown>,
  path: Path,
  value: unknown,
): Record<string, unknown> {
  const [key, ...rest] = path;
  if (key === undefined) return object;
  const { [key]: old, ...others } = object;
  const next = rest.length === 0 ? value : withValue(isObject(old) ? old : {}, rest, value);
  const gone =
    next === undefined || (value === undefined && isObject(next) && Object.keys(next).length === 0);
  return gone ? others : { ...object, [key]: next };
}

/** The form in which managedFields holds a set of fields: `{"f:data": {"f:key": {}}}`. */
export function toFieldsV1(paths: Iterable<Path>): Record<string, unknown> {
  let root: Record<string, unknown> = {};
  for (const path of paths) {
    const keys = path.map((key) => `f:${key}`);
    // A map that is owned beside some of its entries is in the tree already.
    if (valueAt(root, keys) === undefined) root = withValue(root, keys, {});
  }
  return root;
}

/** The set of fields that a managedFields entry holds. */
export function fromFieldsV1(fields: Record<string, unknown>): Path[] {
  return [...leaves(fields, [])]
    .filter((path) => path.length > 0)
    .map((path) => path.filter((key) => key !== '.').map((key) => key.replace(/^f:/, '')));
}

/** One string for one path. */
export const keyOf = (path: Path): string => JSON.stringify(path);

/** A field as the API server writes it in a conflict: `.data..dockerconfigjson`. */
export const display = (path: Path): string => `.${path.join('.')}`;
