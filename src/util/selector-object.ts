// Converts label selectors of the API (matchLabels, matchExpressions) to the syntax of kubectl.
import { getField, getItems, isObject } from './json.ts';

/** Converts a selector. Empty or missing selects everything. Returns undefined if it is not a selector. */
export function formatSelector(selector: unknown): string | undefined {
  if (selector === undefined || selector === null) {
    return '';
  }
  if (!isObject(selector)) {
    return undefined;
  }
  const labels = Object.entries(isObject(selector['matchLabels']) ? selector['matchLabels'] : {}).map(
    ([key, value]) => `${key}=${String(value)}`,
  );
  const expressions = getItems(selector['matchExpressions']).map(formatExpression);
  return expressions.includes(undefined) ? undefined : [...labels, ...expressions].join(',');
}

function formatExpression(expression: unknown): string | undefined {
  const key = String(getField(expression, 'key'));
  const values = getItems(getField(expression, 'values')).map(String).join(',');
  switch (getField(expression, 'operator')) {
    case 'In':
      return `${key} in (${values})`;
    case 'NotIn':
      return `${key} notin (${values})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
    default:
      return undefined;
  }
}
