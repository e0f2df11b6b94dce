// Server-side apply of the API stand-in: owned fields, conflicts, and managedFields after any write.
import { isDeepStrictEqual } from 'node:util';
import { type StatusCause, StatusError } from './api-status-error.ts';
import { checkObject, isObject, type KubeObject, type ManagedFields } from './kube-object.ts';

/** The path of a field, as a list of keys. */
type Path = readonly string[];

// Fields that no manager owns, because they identify the object or are set by the API server.
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

function* findLeaves(value: unknown, path: Path): Generator<Path> {
  if (value === undefined) {
    return;
  }
  if (isObject(value) && (Object.keys(value).length > 0 || path.length === 0)) {
    for (const [key, child] of Object.entries(value)) {
      yield* findLeaves(child, [...path, key]);
    }
  } else {
    yield path;
  }
}

/** Returns the fields of an object that can be owned: each key of a map, and lists as a whole. */
function getOwnableFields(object: unknown): Path[] {
  return [...findLeaves(object, [])].filter((path) => !isIdentityField(path));
}

/** Returns the value of a field; undefined if it is not set. */
function getValueAt(object: unknown, path: Path): unknown {
  let value = object;
  for (const key of path) {
    value = isObject(value) ? value[key] : undefined;
  }
  return value;
}

/** Returns a copy in which the field has the value. `undefined` removes the field, and maps that become empty. */
function setValue(object: Record<string, unknown>, path: Path, value: unknown): Record<string, unknown> {
  const [key, ...rest] = path;
  if (key === undefined) {
    return object;
  }
  const { [key]: old, ...others } = object;
  const next = rest.length === 0 ? value : setValue(isObject(old) ? old : {}, rest, value);
  const isRemoved =
    next === undefined || (value === undefined && isObject(next) && Object.keys(next).length === 0);
  return isRemoved ? others : { ...object, [key]: next };
}

/** Formats fields as in managedFields: `{"f:data": {"f:key": {}}}`. */
function toFieldsV1(paths: Iterable<Path>): Record<string, unknown> {
  let root: Record<string, unknown> = {};
  for (const path of paths) {
    const keys = path.map((key) => `f:${key}`);
    // A map that is owned together with some of its entries is already in the tree.
    if (getValueAt(root, keys) === undefined) {
      root = setValue(root, keys, {});
    }
  }
  return root;
}

/** Parses the fields of a managedFields entry. */
function fromFieldsV1(fields: Record<string, unknown>): Path[] {
  return [...findLeaves(fields, [])]
    .filter((path) => path.length > 0)
    .map((path) => path.filter((key) => key !== '.').map((key) => key.replace(/^f:/, '')));
}

/** Returns a unique string for a path. */
const getKey = (path: Path): string => JSON.stringify(path);

/** Formats a field as in conflict messages: `.data..dockerconfigjson`. */
const formatPath = (path: Path): string => `.${path.join('.')}`;

/** A field manager. Apply and update with the same name are two managers. */
interface Manager {
  name: string;
  operation: ManagedFields['operation'];
}

/** The fields that each manager owns. Immutable: each change returns a new instance. */
class Managers {
  readonly #entries: readonly ManagedFields[];

  constructor(entries: readonly ManagedFields[] = []) {
    this.#entries = entries;
  }

  /** Returns the fields of one manager. */
  fieldsOf(manager: Manager): Path[] {
    return this.#entries
      .filter((entry) => isSameManager(entry, manager))
      .flatMap((entry) => fromFieldsV1(entry.fieldsV1));
  }

  /** Returns the other managers that own a field. */
  othersOwning(path: Path, manager: Manager): Manager[] {
    const key = getKey(path);
    return this.#entries
      .filter(
        (entry) =>
          !isSameManager(entry, manager) && fromFieldsV1(entry.fieldsV1).some((own) => getKey(own) === key),
      )
      .map(({ manager: name, operation }) => ({ name, operation }));
  }

  /** Sets the fields of one manager. The time of its entry changes only if the fields do. */
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

  /** Removes the fields from all managers except one. */
  without(paths: readonly Path[], except: Manager): Managers {
    const taken = new Set(paths.map(getKey));
    return this.#entries.reduce((managers: Managers, { manager: name, operation }) => {
      const other = { name, operation };
      if (name === except.name && operation === except.operation) {
        return managers;
      }
      return managers.with(
        other,
        managers.fieldsOf(other).filter((path) => !taken.has(getKey(path))),
      );
    }, this);
  }

  /** Returns the value of `metadata.managedFields`. */
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
  const changed = paths.filter((path) => !isDeepStrictEqual(getValueAt(old, path), getValueAt(object, path)));
  const present = new Set(paths.map(getKey));
  const removed = getOwnableFields(old ?? {}).filter((path) => !present.has(getKey(path)));
  const others = new Managers(old?.metadata.managedFields).without([...changed, ...removed], manager);
  const lostKeys = new Set([...changed, ...removed].map(getKey));
  const kept = others.fieldsOf(manager).filter((path) => !lostKeys.has(getKey(path)));
  const managedFields = others.with(manager, [...kept, ...changed]).entries();
  return { ...object, metadata: { ...object.metadata, managedFields } };
}

/** A server-side apply. */
export interface ApplyRequest {
  /** The stored object; for a create, an object that has only its identity. */
  live: KubeObject;
  /** The object in the request. */
  applied: Record<string, unknown>;
  manager: Manager;
  force: boolean;
}

function isEmptyMap(value: unknown): boolean {
  return isObject(value) && Object.keys(value).length === 0;
}

function formatConflicts(conflicts: StatusCause[]): string {
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

/** 409, because other managers own fields with other values. */
function createFieldConflict(conflicts: StatusCause[]): StatusError {
  return new StatusError(409, 'Conflict', `Apply failed with ${formatConflicts(conflicts)}`, {
    causes: conflicts,
  });
}

function findConflicts(
  { live, applied, manager }: ApplyRequest,
  managers: Managers,
  path: Path,
): StatusCause[] {
  if (isEmptyMap(getValueAt(applied, path))) {
    return [];
  }
  if (isDeepStrictEqual(getValueAt(live, path), getValueAt(applied, path))) {
    return [];
  }
  return managers.othersOwning(path, manager).map(({ name, operation }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with "${name}"${operation === 'Update' ? ' using v1' : ''}`,
    field: formatPath(path),
  }));
}

/**
 * Server-side apply, in which a list is one field. Applied fields are set, and the manager owns them. Fields that only this
 * manager owned and that it no longer applies are removed. A field of another manager is shared if its value is the same,
 * and a conflict otherwise, unless the apply is forced. https://kubernetes.io/docs/reference/using-api/server-side-apply/
 *
 * @returns the object to store; the same `live` if the apply changes nothing
 * @throws {StatusError} 409 with a cause for each field in conflict
 */
export function applyObject(apply: ApplyRequest): KubeObject {
  const { live, applied, manager, force } = apply;
  const before = new Managers(live.metadata.managedFields);
  const paths = getOwnableFields(applied);
  const conflicting = paths.map((path) => ({ path, causes: findConflicts(apply, before, path) }));
  const causes = conflicting.flatMap((one) => one.causes);
  if (causes.length > 0 && !force) {
    throw createFieldConflict(causes);
  }
  const takenOver = conflicting.filter((one) => one.causes.length > 0).map((one) => one.path);

  const kept = new Set(paths.map(getKey));
  const dropped = before
    .fieldsOf(manager)
    .filter((path) => !kept.has(getKey(path)) && before.othersOwning(path, manager).length === 0);
  let next: Record<string, unknown> = { ...live };
  for (const path of dropped) {
    next = setValue(next, path, undefined);
  }
  for (const path of paths) {
    const value = getValueAt(applied, path);
    // An empty map sets no field, and removes none of other managers.
    if (!isEmptyMap(value)) {
      next = setValue(next, path, value);
    }
  }

  const after = before.without(takenOver, manager).with(manager, paths);
  next = setValue(next, ['metadata', 'managedFields'], after.entries());
  return isDeepStrictEqual(next, live) ? live : checkObject(next);
}
