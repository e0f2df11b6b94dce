import { isDeepStrictEqual } from 'node:util';
import { keyOf, ownable, valueAt } from './fields.ts';
import { type Manager, Managers } from './managers.ts';
import type { KubeObject } from './objects.ts';

/**
 * Who owns what after a write that is no apply: what it changed is the writer's, and nobody else's any more; what it
 * removed is nobody's.
 */
export function afterUpdate(old: KubeObject | undefined, object: KubeObject, name: string): KubeObject {
  const manager: Manager = { name, operation: 'Update' };
  const paths = ownable(object);
  const changed = paths.filter((path) => !isDeepStrictEqual(valueAt(old, path), valueAt(object, path)));
  const there = new Set(paths.map(keyOf));
  const gone = ownable(old ?? {}).filter((path) => !there.has(keyOf(path)));
  const others = new Managers(old?.metadata.managedFields).without([...changed, ...gone], manager);
  const lost = new Set([...changed, ...gone].map(keyOf));
  const kept = others.fieldsOf(manager).filter((path) => !lost.has(keyOf(path)));
  const managedFields = others.with(manager, [...kept, ...changed]).entries();
  return { ...object, metadata: { ...object.metadata, managedFields } };
}
