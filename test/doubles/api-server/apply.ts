import { isDeepStrictEqual } from 'node:util';
import { type Cause, Failure } from './failure.ts';
import { display, keyOf, ownable, type Path, valueAt, withValue } from './fields.ts';
import { type Manager, Managers } from './managers.ts';
import { checkedObject, isObject, type KubeObject } from './objects.ts';

/** A server-side apply. */
export interface Apply {
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

function conflictText(conflicts: Cause[]): string {
  const [first] = conflicts;
  if (first !== undefined && conflicts.length === 1) return `1 conflict: ${first.message}: ${first.field}`;
  const byManager = Map.groupBy(conflicts, ({ message }) => message.replace(/^conflict/, 'conflicts'));
  const lists = [...byManager].map(([who, ones]) =>
    [`${who}:`, ...ones.map(({ field }) => `- ${field}`)].join('\n'),
  );
  return `${conflicts.length} conflicts: ${lists.join('\n')}`;
}

/** 409: other managers own fields with another value. */
function fieldConflict(conflicts: Cause[]): Failure {
  return new Failure(409, 'Conflict', `Apply failed with ${conflictText(conflicts)}`, { causes: conflicts });
}

function conflictsOf({ live, sent, manager }: Apply, managers: Managers, path: Path): Cause[] {
  if (isEmptyMap(valueAt(sent, path))) return [];
  if (isDeepStrictEqual(valueAt(live, path), valueAt(sent, path))) return [];
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
 * @throws {Failure} 409 with a cause for each field in conflict
 */
export function applied(apply: Apply): KubeObject {
  const { live, sent, manager, force } = apply;
  const before = new Managers(live.metadata.managedFields);
  const paths = ownable(sent);
  const conflicting = paths.map((path) => ({ path, causes: conflictsOf(apply, before, path) }));
  const causes = conflicting.flatMap((one) => one.causes);
  if (causes.length > 0 && !force) throw fieldConflict(causes);
  const taken = conflicting.filter((one) => one.causes.length > 0).map((one) => one.path);

  const kept = new Set(paths.map(keyOf));
  const dropped = before
    .fieldsOf(manager)
    .filter((path) => !kept.has(keyOf(path)) && before.othersOwning(path, manager).length === 0);
  let next: Record<string, unknown> = { ...live };
  for (const path of dropped) next = withValue(next, path, undefined);
  for (const path of paths) {
    const value = valueAt(sent, path);
    // An empty map asks for nothing, and takes nothing from others.
    if (!isEmptyMap(value)) next = withValue(next, path, value);
  }

  const after = before.without(taken, manager).with(manager, paths);
  next = withValue(next, ['metadata', 'managedFields'], after.entries());
  return isDeepStrictEqual(next, live) ? live : checkedObject(next);
}
