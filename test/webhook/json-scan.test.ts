import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { mayExceedValueCount, stripManagedFields } from '../../src/webhook/json-scan.ts';

/** Names and texts that look like the beginning or the end of such a list, or part of it. */
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

function emptied(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (key, inner) =>
    key === 'managedFields' && Array.isArray(inner) ? [] : inner,
  );
}

const without = (text: string) => stripManagedFields(Buffer.from(text));

describe('managedFields', () => {
  it('are empty lists, and all else of any JSON stays as it was', () => {
    fc.assert(
      fc.property(json, (value) => {
        assert.deepEqual(JSON.parse(without(JSON.stringify(value))), emptied(value));
      }),
      { numRuns: 2_000 },
    );
  });

  it('of pod and old pod are not read', () => {
    const fields = { 'k:{"name":"a]"}': { '.': {}, 'v:[1]': {} } };
    const pod = (of: string) => ({ metadata: { managedFields: [{ fieldsV1: fields }, {}] }, of });
    const text = without(JSON.stringify({ object: pod('new'), oldObject: pod('old') }));
    assert.equal(
      text,
      '{"object":{"metadata":{"managedFields":[]},"of":"new"},"oldObject":{"metadata":{"managedFields":[]},"of":"old"}}',
    );
  });

  it('may stay, where something is spaced otherwise', () => {
    const text = JSON.stringify({ managedFields: [1] }, undefined, 2);
    assert.equal(without(text), text);
  });

  it('do not make JSON of what is none around them', () => {
    for (const text of [
      '{"managedFields":[1]',
      '["a"managedFields":[1]]',
      '["managedFields":[1]]',
      '"managedFields":[1]',
    ]) {
      assert.throws(() => JSON.parse(text), SyntaxError);
      assert.throws(() => JSON.parse(without(text)), SyntaxError, text);
    }
  });

  it('that never end are no JSON, and found to be so at once', () => {
    const endless = '{"managedFields":[';
    for (const text of [endless, `${endless}"]`, `${endless}{"a":"\\"]}`, endless.repeat(400_000)]) {
      assert.throws(() => JSON.parse(without(text)), SyntaxError);
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
