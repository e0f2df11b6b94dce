// Generates JSON values that parsers may fail on.
import fc from 'fast-check';

/** Values that are known to break parsers. All of them are JSON. */
const pastFailures: readonly unknown[] = [
  // No conversion to text or to a number succeeds for this object.
  { toString: 1, valueOf: 1 },
  { toString: null, valueOf: null },
  { toJSON: 1 },
  { length: -1 },
  JSON.parse('{"__proto__": {"polluted": true}}'),
  JSON.parse('{"constructor": {"prototype": null}}'),
  ['nested', ['nested', ['nested', []]]],
  '9'.repeat(400),
  '-1',
  '\ud800',
  '\u0000',
  '\u2028',
  '__proto__',
  'constructor',
  'toString',
  '275760-09-13T00:00:00Z',
  '+275760-09-13T00:00:00.001Z',
  '-271821-04-20T00:00:00Z',
  '9999-99-99T99:99:99Z',
  '2026-11-23T12:00:00Z',
  1e308,
  -1e308,
  8.64e15,
  8.64e15 + 1,
  Number.MIN_VALUE,
  -0,
];

const scalar = fc.oneof(
  fc.constantFrom(...pastFailures),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ maxLength: 12 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
);

/** Limits of depth and of items per object or list. Larger values find no more errors and take minutes. */
const bounds = { depth: 4, items: 4 };

/**
 * Generates small JSON values whose keys and values include those that break parsers.
 * @param keys names that the parser reads
 */
export function hostileJson(keys: readonly string[] = []): fc.Arbitrary<unknown> {
  const key = fc.oneof(
    fc.constantFrom('__proto__', 'constructor', 'toString', 'valueOf', 'length', ...keys),
    fc.string({ maxLength: 8 }),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: bounds.depth, withCrossShrink: true },
      scalar,
      fc.array(tie('value'), { maxLength: bounds.items }),
      fc
        .array(fc.tuple(key, tie('value')), { maxLength: bounds.items })
        .map((entries): unknown => Object.fromEntries(entries)),
    ),
  }));
  return value;
}

/** Generates a valid JSON value of which parts at any depth are replaced by hostile ones. */
export function damaged(valid: unknown): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 6, arbitrary: damageParts(valid) }, { weight: 1, arbitrary: hostileJson() });
}

function damageParts(valid: unknown): fc.Arbitrary<unknown> {
  if (Array.isArray(valid)) {
    return fc.tuple(...valid.map(damaged)).map((items): unknown => items);
  }
  if (typeof valid === 'object' && valid !== null) {
    const entries = Object.entries(valid).map(([key, value]) =>
      fc.tuple(fc.constant(key), damaged(value), fc.integer({ min: 0, max: 9 })),
    );
    return fc
      .tuple(...entries)
      .map((generated): unknown =>
        Object.fromEntries(generated.filter(([, , kept]) => kept > 0).map(([key, value]) => [key, value])),
      );
  }
  return fc.constant(valid);
}
