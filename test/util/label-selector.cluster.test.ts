// The program's label selectors match what the API server matches, and are valid exactly if it accepts them.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import fc from 'fast-check';
import { getField, getItems } from '../../src/util/json.ts';
import { type Labels, parseLabelSelector } from '../../src/util/label-selector.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { invalidSelectors } from './invalid-selectors.ts';

const objects: Readonly<Record<string, Labels>> = {
  none: {},
  empty: { a: '' },
  a: { a: 'a' },
  b: { a: 'b', 'example.com/team': 'shop' },
  c: { a: 'c', b: 'b' },
  in: { in: 'in', notin: 'x' },
};

const selectors = [
  ...[
    '',
    ' ',
    'a',
    '!a',
    '! a',
    'a=a',
    'a==a',
    'a = a',
    'a!=a',
    'a=',
    'a!=',
    'a==',
    'a in (a,b)',
    'a in(a,)',
  ],
  ...[
    'a in ()',
    'a in (,)',
    'a notin (a, b)',
    'a notin ()',
    'a,b',
    'a,!b',
    'a=c,b in (b)',
    'example.com/team=shop',
  ],
  ...[
    'in',
    'in=in',
    'in in (in)',
    'notin',
    'notin in (x)',
    'in notin (in)',
    '!in',
    'a in (in)',
    'a=in',
    'a=notin',
  ],
  ...invalidSelectors,
  ...['a,', 'a!', 'a!=!'],
  ...[`${'x'.repeat(63)}=a`, `a=${'x'.repeat(63)}`, 'a\t=\na', 'a=é'],
];

/** Selectors of random tokens: most of them are invalid, but a few are not. */
const randomSelectors = fc.sample(
  fc
    .array(
      fc.constantFrom('a', 'b', 'in', 'notin', '=', '==', '!=', '!', ',', '(', ')', '(a)', '(a,b)', ' '),
      {
        minLength: 1,
        maxLength: 7,
      },
    )
    .map((tokens) => tokens.join('')),
  { numRuns: 300, seed: 14 },
);

describeOnCluster('label selectors', (cluster) => {
  let path: string;
  before(async () => {
    path = `/api/v1/namespaces/${await cluster().createNamespace('selectors')}/configmaps`;
    for (const [name, labels] of Object.entries(objects)) {
      const { status } = await cluster().request('POST', path, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, labels },
      });
      assert.equal(status, 201);
    }
  });

  it('match as on the API server', async () => {
    for (const selector of [...selectors, ...randomSelectors]) {
      const { status, body } = await cluster().request(
        'GET',
        `${path}?labelSelector=${encodeURIComponent(selector)}`,
      );
      const names = getItems(getField(body, 'items'))
        .map((item) => String(getField(getField(item, 'metadata'), 'name')))
        .filter((name) => Object.hasOwn(objects, name));
      const matches = parseLabelSelector(selector);
      const expected = status === 200 ? names.sort() : undefined;
      const found =
        matches &&
        Object.keys(objects)
          .filter((name) => matches(objects[name] ?? {}))
          .sort();
      assert.deepEqual(found, expected, `${JSON.stringify(selector)} (status ${status})`);
    }
  });
});
