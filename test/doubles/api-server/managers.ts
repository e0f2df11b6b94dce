import { isDeepStrictEqual } from 'node:util';
import { fromFieldsV1, keyOf, type Path, toFieldsV1 } from './fields.ts';
import type { ManagedFields } from './objects.ts';

/** A field manager: the same name applying and updating are two of them. */
export interface Manager {
  name: string;
  operation: ManagedFields['operation'];
}

/** Which manager owns which fields of an object. A value: each change gives a new one. */
export class Managers {
  readonly #entries: readonly ManagedFields[];

  constructor(entries: readonly ManagedFields[] = []) {
    this.#entries = entries;
  }

  /** The fields of one manager. */
  fieldsOf(manager: Manager): Path[] {
    return this.#entries
      .filter((entry) => is(entry, manager))
      .flatMap((entry) => fromFieldsV1(entry.fieldsV1));
  }

  /** The other managers that own a field. */
  othersOwning(path: Path, manager: Manager): Manager[] {
    const key = keyOf(path);
    return this.#entries
      .filter(
        (entry) => !is(entry, manager) && fromFieldsV1(entry.fieldsV1).some((own) => keyOf(own) === key),
      )
      .map(({ manager: name, operation }) => ({ name, operation }));
  }

  /** With this manager owning these fields and no others. Its entry's time stays where nothing changed. */
  with(manager: Manager, paths: readonly Path[]): Managers {
    const old = this.#entries.find((entry) => is(entry, manager));
    const others = this.#entries.filter((entry) => !is(entry, manager));
    if (paths.length === 0) return new Managers(others);
    const fieldsV1 = toFieldsV1(paths);
    if (old !== undefined && isDeepStrictEqual(old.fieldsV1, fieldsV1)) return this;
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
      if (name === but.name && operation === but.operation) return managers;
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

function is(entry: ManagedFields, { name, operation }: Manager): boolean {
  return entry.manager === name && entry.operation === operation;
}
