// Server-side apply of the API stand-in.
import { isDeepStrictEqual } from 'node:util';
import { type StatusCause, StatusError } from './api-status-error.ts';
import { checkedObject, isObject, type KubeObject, type ManagedFields } from './kube-object.ts';

/** A field: the keys that lead to it. */
type Path = readonly string[];

// What the API server takes out of every manager's set: identity, and what it sets itself.
// https://github.com/kubernetes/apimachinery/blob/master/pkg/util/managedfields/internal/stripmeta.go
const unownedFields = new Set([
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

const isIdentityField = (path: Path): boolean => {
  const [first, second] = path;
  if (path.length === 1) {
    return first === 'apiVersion' || first === 'kind' || first === 'metadata';
  }
  return first === 'metadata' && unownedFields.has(second ?? '');
};

function* leaves(value: unknown, path: Path): Generator<Path> {
  if (value === undefined) {
    return;
  }
  if (isObject(value) && (Object.keys(value).length > 0 || path.length === 0)) {
    for (const [key, child] of Object.entries(value)) {
      yield* leaves(child, [...path, key]);
    }
  } else {
    yield path;
  }
}

/** The fields that an object sets and that can be owned: maps by key, lists as a whole. */
function getOwnableFields(object: unknown): Path[] {
  return [...leaves(object, [])].filter((path) => !isIdentityField(path));
}

/** The value of a field, undefined where it is not set. */
function valueAt(object: unknown, path: Path): unknown {
  let value = object;
  for (const key of path) {
    value = isObject(value) ? value[key] : undefined;
  }
  return value;
}

/** The object with this field set to this value, undefined taking it away; maps that end up empty go too. */
function withValue(object: Record<string, unknown>, path: Path, value: unknown): Record<string, unknown> {
  const [key, ...rest] = path;
  if (key === undefined) {
    return object;
  }
  const { [key]: old, ...others } = object;
  const next = rest.length === 0 ? value : withValue(isObject(old) ? old : {}, rest, value);
  const gone =
    next === undefined || (value === undefined && isObject(next) && Object.keys(next).length === 0);
  return gone ? others : { ...object, [key]: next };
}

/** The form in which managedFields holds a set of fields: `{"f:data": {"f:key": {}}}`. */
function toFieldsV1(paths: Iterable<Path>): Record<string, unknown> {
  let root: Record<string, unknown> = {};
  for (const path of paths) {
    const keys = path.map((key) => `f:${key}`);
    // A map that is owned beside some of its entries is in the tree already.
    if (valueAt(root, keys) === undefined) {
      root = withValue(root, keys, {});
    }
  }
  return root;
}

/** The set of fields that a managedFields entry holds. */
function fromFieldsV1(fields: Record<string, unknown>): Path[] {
  return [...leaves(fields, [])]
    .filter((path) => path.length > 0)
    .map((path) => path.filter((key) => key !== '.').map((key) => key.replace(/^f:/, '')));
}

/** One string for one path. */
const keyOf = (path: Path): string => JSON.stringify(path);

/** A field as the API server writes it in a conflict: `.data..dockerconfigjson`. */
const display = (path: Path): string => `.${path.join('.')}`;

/** A field manager: the same name applying and updating are two of them. */
interface Manager {
  name: string;
  operation: ManagedFields['operation'];
}

/** Which manager owns which fields of an object. A value: each change gives a new one. */
class Managers {
  readonly #entries: readonly ManagedFields[];

  constructor(entries: readonly ManagedFields[] = []) {
    this.#entries = entries;
  }

  /** The fields of one manager. */
  fieldsOf(manager: Manager): Path[] {
    return this.#entries
      .filter((entry) => isSameManager(entry, manager))
      .flatMap((entry) => fromFieldsV1(entry.fieldsV1));
  }

  /** The other managers that own a field. */
  othersOwning(path: Path, manager: Manager): Manager[] {
    const key = keyOf(path);
    return this.#entries
      .filter(
        (entry) =>
          !isSameManager(entry, manager) && fromFieldsV1(entry.fieldsV1).some((own) => keyOf(own) === key),
      )
      .map(({ manager: name, operation }) => ({ name, operation }));
  }

  /** With this manager owning these fields and no others. Its entry's time stays where nothing changed. */
  with(manager: Manager, paths: readonly Path[]): Managers {
    const old = this.#entries.find((entry) => isSameManager(entry, manager));
    const others = this.#entries.filter((entry) => !isSameManager(entry, manager));
    if (paths.length === 0) {
      return new Managers(others);
    }
    const fieldsV1 = toFieldsV1(paths);
    if (old !== undefined && isDeepStrictEqual(old.fieldsV1, fieldsV1)) {
      return this;
    }
    const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const { name, operation } = manager;
    return new Managers([
      ...others,
      { manager: name, operation, apiVersion: 'v1', time, fieldsType: 'FieldsV1', fieldsV1 },
    ]);
  }

  /** With these fields taken from all managers but this one. */
  without(paths: readonly Path[], but: Manager): Managers {
    const taken = new Set(paths.map(keyOf));
    return this.#entries.reduce((managers: Managers, { manager: name, operation }) => {
      const other = { name, operation };
      if (name === but.name && operation === but.operation) {
        return managers;
      }
      return managers.with(
        other,
        managers.fieldsOf(other).filter((path) => !taken.has(keyOf(path))),
      );
    }, this);
  }

  /** As `metadata.managedFields` holds it. */
  entries(): ManagedFields[] {
    return [...this.#entries];
  }
}

function isSameManager(entry: ManagedFields, { name, operation }: Manager): boolean {
  return entry.manager === name && entry.operation === operation;
}

/**
 * Updates the owners after a write that is not an apply. The writer becomes the only owner of the fields that it changed.
 * Removed fields have no owner.
 */
export function recordUpdate(old: KubeObject | undefined, object: KubeObject, name: string): KubeObject {
  const manager: Manager = { name, operation: 'Update' };
  const paths = getOwnableFields(object);
  const changed = paths.filter((path) => !isDeepStrictEqual(valueAt(old, path), valueAt(object, path)));
  const there = new Set(paths.map(keyOf));
  const gone = getOwnableFields(old ?? {}).filter((path) => !there.has(keyOf(path)));
  const others = new Managers(old?.metadata.managedFields).without([...changed, ...gone], manager);
  const lost = new Set([...changed, ...gone].map(keyOf));
  const kept = others.fieldsOf(manager).filter((path) => !lost.has(keyOf(path)));
  const managedFields = others.with(manager, [...kept, ...changed]).entries();
  return { ...object, metadata: { ...object.metadata, managedFields } };
}

/** A server-side apply. */
export interface ApplyRequest {
  /** What is stored; for a create, an object with nothing but its identity. */
  live: KubeObject;
  /** What was sent. */
  sent: Record<string, unknown>;
  manager: Manager;
  force: boolean;
}

function isEmptyMap(value: unknown): boolean {
  return isObject(value) && Object.keys(value).length === 0;
}

function conflictText(conflicts: StatusCause[]): string {
  const [first] = conflicts;
  if (first !== undefined && conflicts.length === 1) {
    return `1 conflict: ${first.message}: ${first.field}`;
  }
  const byManager = Map.groupBy(conflicts, ({ message }) => message.replace(/^conflict/, 'conflicts'));
  const lists = [...byManager].map(([who, ones]) =>
    [`${who}:`, ...ones.map(({ field }) => `- ${field}`)].join('\n'),
  );
  return `${conflicts.length} conflicts: ${lists.join('\n')}`;
}

/** 409: other managers own fields with another value. */
function fieldConflict(conflicts: StatusCause[]): StatusError {
  return new StatusError(409, 'Conflict', `Apply failed with ${conflictText(conflicts)}`, {
    causes: conflicts,
  });
}

function conflictsOf({ live, sent, manager }: ApplyRequest, managers: Managers, path: Path): StatusCause[] {
  if (isEmptyMap(valueAt(sent, path))) {
    return [];
  }
  if (isDeepStrictEqual(valueAt(live, path), valueAt(sent, path))) {
    return [];
  }
  return managers.othersOwning(path, manager).map(({ name, operation }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with "${name}"${operation === 'Update' ? ' using v1' : ''}`,
    field: display(path),
  }));
}

/**
 * Server-side apply over maps (a list is one field): what the manager sends is set and becomes its own, what it
 * owned alone and sends no longer is removed, another manager's field of another value is a conflict unless forced,
 * one of the same value is shared. https://kubernetes.io/docs/reference/using-api/server-side-apply/
 *
 * @returns the object to store; the live one itself where the apply changes nothing
 * @throws {StatusError} 409 with a cause for each field in conflict
 */
export function applyObject(apply: ApplyRequest): KubeObject {
  const { live, sent, manager, force } = apply;
  const before = new Managers(live.metadata.managedFields);
  const paths = getOwnableFields(sent);
  const conflicting = paths.map((path) => ({ path, causes: conflictsOf(apply, before, path) }));
  const causes = conflicting.flatMap((one) => one.causes);
  if (causes.length > 0 && !force) {
    throw fieldConflict(causes);
  }
  const taken = conflicting.filter((one) => one.causes.length > 0).map((one) => one.path);

  const kept = new Set(paths.map(keyOf));
  const dropped = before
    .fieldsOf(manager)
    .filter((path) => !kept.has(keyOf(path)) && before.othersOwning(path, manager).length === 0);
  let next: Record<string, unknown> = { ...live };
  for (const path of dropped) {
    next = withValue(next, path, undefined);
  }
  for (const path of paths) {
    const value = valueAt(sent, path);
    // An empty map asks for nothing, and takes nothing from others.
    if (!isEmptyMap(value)) {
      next = withValue(next, path, value);
    }
  }

  const after = before.without(taken, manager).with(manager, paths);
  next = withValue(next, ['metadata', 'managedFields'], after.entries());
  return isDeepStrictEqual(next, live) ? live : checkedObject(next);
}
