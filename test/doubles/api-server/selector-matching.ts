// Label and field selectors of the API stand-in.
import { createBadRequest } from './api-status-error.ts';
import { getStringEntries, type KubeObject, toArray, toObject } from './kube-object.ts';

/**
 * Parses `fieldSelector`: `metadata.name=NAME`, `status.phase=PHASE` and `status.phase!=PHASE`.
 * @throws {StatusError} 400 for other terms
 */
function parseFieldSelector(query: URLSearchParams): {
  name: string | undefined;
  inPhases: string[];
  notInPhases: string[];
} {
  const terms = (query.get('fieldSelector') ?? '').split(',').filter(Boolean);
  const matched = terms.map((term) => {
    const [, name, operator, phase = ''] =
      /^(?:metadata\.name==?([^=!]+)|status\.phase(!?=)(\w+))$/.exec(term) ?? [];
    if (name === undefined && operator === undefined) {
      throw createBadRequest(
        `this stand-in supports only the field selectors metadata.name and status.phase: ${term}`,
      );
    }
    return { name, operator, phase };
  });
  return {
    name: matched.find(({ name }) => name !== undefined)?.name,
    inPhases: matched.flatMap(({ operator, phase }) => (operator === '=' ? [phase] : [])),
    notInPhases: matched.flatMap(({ operator, phase }) => (operator === '!=' ? [phase] : [])),
  };
}

/** Returns the name in `fieldSelector=metadata.name=NAME`. @throws {StatusError} 400 for other selectors */
export function getSelectedName(query: URLSearchParams): string | undefined {
  return parseFieldSelector(query).name;
}

/** Creates a predicate for `fieldSelector` and `labelSelector=key=value,…`. @throws {StatusError} 400 for other forms */
export function createSelector(query: URLSearchParams): (object: KubeObject) => boolean {
  const { name, inPhases, notInPhases } = parseFieldSelector(query);
  const labels = (query.get('labelSelector') ?? '')
    .split(',')
    .filter(Boolean)
    .map((term) => {
      const [, key = '', value] = /^([\w./-]+)==?([\w.-]*)$/.exec(term) ?? [];
      if (value === undefined) {
        throw createBadRequest(`this stand-in supports only label selectors of the form key=value: ${term}`);
      }
      return { key, value };
    });
  return ({ metadata, status }) =>
    inPhases.every((phase) => phase === toObject(status)['phase']) &&
    !notInPhases.some((phase) => phase === toObject(status)['phase']) &&
    (name === undefined || metadata.name === name) &&
    labels.every(({ key, value }) => metadata.labels?.[key] === value);
}

function matchesExpression(labels: Record<string, string>, expression: unknown): boolean {
  const { key, operator, values } = toObject(expression);
  const value = typeof key === 'string' ? labels[key] : undefined;
  if (operator === 'In') {
    return value !== undefined && toArray(values).includes(value);
  }
  if (operator === 'NotIn') {
    return value === undefined || !toArray(values).includes(value);
  }
  return (operator === 'Exists') === (value !== undefined);
}

/** Whether labels match a LabelSelector. A missing or empty selector matches all labels. */
export function matchesLabelSelector(labels: Record<string, string>, selector: unknown): boolean {
  const { matchLabels, matchExpressions } = toObject(selector);
  const equal = Object.entries(getStringEntries(matchLabels)).every(([key, value]) => labels[key] === value);
  return equal && toArray(matchExpressions).every((expression) => matchesExpression(labels, expression));
}
