// Tests that managedFields are removed and JSON values counted in the raw bytes of any review.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { mayExceedValueCount, stripManagedFields } from '../../src/webhook/json-scan.ts';

/** Names and texts that resemble the start, the end or a part of `managedFields`. */
const significantName = fc.constantFrom(
  'managedFields',
  'x"managedFields',
  '"managedFields":[',
  '\\"managedFields":[',
  'k:{"port":"]"}',
  ']',
  '[',
  '"',
  '\\',
  'ü€',
);
const name = fc.oneof(significantName, fc.string({ maxLength: 12 }));
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    name,
    fc.integer(),
    fc.constantFrom(null, true),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(name, tie('json'), { maxKeys: 4 }),
    fc.record({ managedFields: fc.array(tie('json'), { maxLength: 4 }), name: tie('json') }),
  ),
}));

function emptyManagedFields(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (key, inner) =>
    key === 'managedFields' && Array.isArray(inner) ? [] : inner,
  );
}

const strip = (text: string) => stripManagedFields(Buffer.from(text));

describe('stripping managedFields', () => {
  it('empties the arrays, and keeps the rest of any JSON', () => {
    fc.assert(
      fc.property(json, (value) => {
        assert.deepEqual(JSON.parse(strip(JSON.stringify(value))), emptyManagedFields(value));
      }),
      { numRuns: 2_000 },
    );
  });

  it('applies to pod and old pod', () => {
    const fields = { 'k:{"name":"a]"}': { '.': {}, 'v:[1]': {} } };
    const pod = (of: string) => ({ metadata: { managedFields: [{ fieldsV1: fields }, {}] }, of });
    const text = strip(JSON.stringify({ object: pod('new'), oldObject: pod('old') }));
    assert.equal(
      text,
      '{"object":{"metadata":{"managedFields":[]},"of":"new"},"oldObject":{"metadata":{"managedFields":[]},"of":"old"}}',
    );
  });

  it('may keep arrays with other spacing', () => {
    const text = JSON.stringify({ managedFields: [1] }, undefined, 2);
    assert.equal(strip(text), text);
  });

  it('does not turn invalid JSON around the arrays into valid JSON', () => {
    for (const text of [
      '{"managedFields":[1]',
      '["a"managedFields":[1]]',
      '["managedFields":[1]]',
      '"managedFields":[1]',
    ]) {
      assert.throws(() => JSON.parse(text), SyntaxError);
      assert.throws(() => JSON.parse(strip(text)), SyntaxError, text);
    }
  });

  it('handles arrays that never end in linear time, and leaves them invalid', () => {
    const endless = '{"managedFields":[';
    for (const text of [endless, `${endless}"]`, `${endless}{"a":"\\"]}`, endless.repeat(400_000)]) {
      assert.throws(() => JSON.parse(strip(text)), SyntaxError);
    }
  });
});

describe('the bound on the number of JSON values', () => {
  const significantText = fc.constantFrom('[', '{', ',', '"', '\\', '\\"', '],[', 'ü€');
  const text = fc.oneof(significantText, fc.string({ maxLength: 12 }));
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 5 },
      text,
      fc.integer(),
      fc.constantFrom(null, true),
      fc.array(tie('json'), { maxLength: 5 }),
      fc.dictionary(text, tie('json'), { maxKeys: 5 }),
    ),
  }));

  it('reports every JSON with more values, and none with half as many', () => {
    fc.assert(
      fc.property(json, fc.nat(20), (value, max) => {
        const mayExceed = mayExceedValueCount(Buffer.from(JSON.stringify(value)), max);
        const values = countValues(value);
        if (values > max + 1) {
          assert.ok(mayExceed);
        }
        if (values * 2 <= max) {
          assert.ok(!mayExceed);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('returns for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat(20), (bytes, max) => {
        mayExceedValueCount(Buffer.from(bytes), max);
      }),
    );
  });
});

/** Number of values in a JSON value, including itself. */
function countValues(value: unknown): number {
  return typeof value === 'object' && value !== null
    ? Object.values(value).reduce((sum: number, inner) => sum + countValues(inner), 1)
    : 1;
}
