// Generates JSON texts that parsers accept and programs may fail on. They are texts because parsed values cannot have duplicate
// keys or 1e999.
import fc from 'fast-check';

/** A placeholder for a credential in values. {@link plantCredential} replaces it by a unique one that can be searched for. */
export const placeholder = 'AKIAFUZZPLACEHOLDER0';

/** Number of planted credentials. Each is unique, so that a leak can be traced to its value. */
let planted = 0;

/** Replaces the placeholders in a text by a unique credential. */
export function plantCredential(text: string): { text: string; credential: string } {
  planted += 1;
  const credential = `AKIAFUZZ${String(planted).padStart(12, '0')}`;
  return { text: text.replaceAll(placeholder, credential), credential };
}

const keys = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'name', 'image', 'metadata', 'namespace', 'annotations') },
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'toJSON', 'then', 'length'),
  fc.constantFrom('', '0', '-1', 'hasOwnProperty', '\u0000', '\ud800', 'a/b', 'a~b'),
  fc.string({ maxLength: 8 }),
);

/** Texts that have crashed programs, and texts that hide a credential from a search. */
const strings = fc.oneof(
  fc.string({ maxLength: 20, unit: 'binary' }),
  fc.constantFrom('', '\ud800', '\udfff\ud800', '\u0000', '\u2028', '\ufeff', '../..', '%2e%2e%2f', 'null'),
  fc.constantFrom(
    placeholder,
    `\n${placeholder}`,
    `\\n${placeholder}`,
    `_${placeholder}`,
    `"${placeholder}"`,
  ),
  fc.constantFrom(`x\n${'a'.repeat(120)}`, `\\${'b'.repeat(120)}`, `${'c'.repeat(120)}\\`),
  fc.nat(60_000).map((length) => 'n'.repeat(length)),
);

const numbers = fc.constantFrom(
  '0',
  '-0',
  '1e999',
  '-1e999',
  '1E-400',
  '9007199254740993',
  `1${'0'.repeat(400)}`,
);

/** One JSON value as text. */
export const hostileText: fc.Arbitrary<string> = fc.letrec<{ value: string; object: string }>((tie) => ({
  object: fc
    .array(fc.tuple(keys, tie('value')), { maxLength: 4 })
    .map((entries) => `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join()}}`),
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    { weight: 3, arbitrary: strings.map((text) => JSON.stringify(text)) },
    { weight: 2, arbitrary: fc.constantFrom('null', 'true', 'false', '[]', '{}', '""', '[null]', '[[]]') },
    numbers,
    fc.constantFrom('{"toString":1,"valueOf":1}', '{"toString":null}', '{"__proto__":null}', '"\\ud800"'),
    fc.nat(400).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
    fc.nat(400).map((depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`),
    fc.nat(20_000).map((length) => `[${Array.from({ length }, () => '{}').join()}]`),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join()}]`),
    { weight: 3, arbitrary: tie('object') },
  ),
})).value;

/** A change of one place of a JSON value. */
interface Mutation {
  /** The index of the place, modulo the number of places. */
  readonly place: number;
  readonly kind: 'replace' | 'delete' | 'twice' | 'insert';
  readonly key: string;
  readonly text: string;
}

const mutations: fc.Arbitrary<Mutation> = fc.record({
  place: fc.nat(10_000),
  kind: fc.constantFrom('replace', 'replace', 'delete', 'twice', 'insert'),
  key: keys,
  text: hostileText,
});

/** Texts of one of the values with up to `maxChanges` changed places. Many texts are unchanged. */
export function mutate(bases: fc.Arbitrary<unknown>, maxChanges = 3): fc.Arbitrary<string> {
  return fc.tuple(bases, fc.array(mutations, { maxLength: maxChanges })).map(([base, changes]) => {
    const places = new Map<number, Mutation>();
    const count = countPlaces(base);
    for (const change of changes) {
      places.set(change.place % count, change);
    }
    return new Renderer(places).render(base);
  });
}

function countPlaces(value: unknown): number {
  if (typeof value !== 'object' || value === null) {
    return 1;
  }
  return Object.values(value).reduce((sum: number, child) => sum + countPlaces(child), 1);
}

/** Numbers the places of a value in the order of its text, and renders the value with its mutations. */
class Renderer {
  readonly #mutations: ReadonlyMap<number, Mutation>;
  #place = 0;

  constructor(changes: ReadonlyMap<number, Mutation>) {
    this.#mutations = changes;
  }

  render(value: unknown): string {
    const mutation = this.#mutations.get(this.#place);
    this.#place += 1;
    const text = this.#inner(value, mutation?.kind === 'insert' ? mutation : undefined);
    return mutation?.kind === 'replace' ? mutation.text : text;
  }

  #inner(value: unknown, insert: Mutation | undefined): string {
    if (Array.isArray(value)) {
      const items = value.map((item) => this.render(item));
      return `[${[...(insert === undefined ? [] : [insert.text]), ...items].join()}]`;
    }
    if (typeof value !== 'object' || value === null) {
      return JSON.stringify(value);
    }
    const entries = Object.entries(value).flatMap(([key, child]) => this.#entry(key, child));
    const inserted = insert === undefined ? [] : [`${JSON.stringify(insert.key)}:${insert.text}`];
    return `{${[...inserted, ...entries].join()}}`;
  }

  #entry(key: string, child: unknown): string[] {
    const mutation = this.#mutations.get(this.#place);
    const text = `${JSON.stringify(key)}:${this.render(child)}`;
    if (mutation?.kind === 'delete') {
      return [];
    }
    return mutation?.kind === 'twice' ? [`${JSON.stringify(key)}:${mutation.text}`, text] : [text];
  }
}
