// Label selectors as text, and arbitrary selectors for property tests.
import fc from 'fast-check';

/** A requirement of a label selector, as in `matchExpressions`. */
export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

/** Arbitrary lists of up to three requirements on the given keys and values. */
export function requirements(from: {
  readonly keys: readonly string[];
  readonly values: readonly string[];
}): fc.Arbitrary<Requirement[]> {
  const key = fc.constantFrom(...from.keys);
  const values = fc.uniqueArray(fc.constantFrom(...from.values), { minLength: 1, maxLength: 3 });
  const listed = fc.record({ key, operator: fc.constantFrom('In', 'NotIn'), values });
  const present = fc.record({ key, operator: fc.constantFrom('Exists', 'DoesNotExist') });
  return fc.array(fc.oneof(listed, present), { maxLength: 3 });
}

/** A selector as text, in one of the spellings that kubectl accepts. */
export function spellings(requirements: readonly Requirement[]): fc.Arbitrary<string> {
  return fc.tuple(...requirements.map(spellingsOf)).map((texts) => texts.join(','));
}

function spellingsOf(requirement: Requirement): fc.Arbitrary<string> {
  const { key, operator, values = [] } = requirement;
  const blank = fc.constantFrom('', ' ', '  ');
  const padded = (text: fc.Arbitrary<string>) =>
    fc.tuple(blank, text, blank).map(([left, inner, right]) => `${left}${inner}${right}`);
  const [value] = values;
  if (value === undefined || values.length !== 1) {
    return padded(fc.constant(textOf(requirement)));
  }
  const signs = operator === 'In' ? ['=', '=='] : ['!='];
  const compared = fc
    .tuple(blank, fc.constantFrom(...signs), blank)
    .map(([left, sign, right]) => `${key}${left}${sign}${right}${value}`);
  return padded(value === '' ? compared : fc.oneof(compared, fc.constant(textOf(requirement))));
}

/** A selector as text, as the API server accepts it in the query of a list. */
export function selectorText(
  expressions: readonly Requirement[] = [],
  labels: Readonly<Record<string, string>> = {},
): string {
  return [
    ...Object.entries(labels).map(([key, value]) => `${key}=${value}`),
    ...expressions.map(textOf),
  ].join(',');
}

function textOf({ key, operator, values = [] }: Requirement): string {
  if (operator === 'Exists') {
    return key;
  }
  if (operator === 'DoesNotExist') {
    return `!${key}`;
  }
  if (values.length === 1) {
    return `${key}${operator === 'In' ? '=' : '!='}${values[0]}`;
  }
  // An empty value is valid between commas, but not as the only value.
  const sorted = [...values].sort().reverse();
  return `${key} ${operator === 'In' ? 'in' : 'notin'} (${sorted.join(',')})`;
}
