// Label and field selectors of the API stand-in.
import { badRequest } from './api-status-error.ts';
import { arrayOr, type KubeObject, objectOr, stringsOf } from './kube-object.ts';

/** The terms of `fieldSelector`: `metadata.name=NAME` and `status.phase!=PHASE`. @throws {Failure} 400 for another one */
function fieldTerms(query: URLSearchParams): { name: string | undefined; notInPhases: string[] } {
  const terms = (query.get('fieldSelector') ?? '').split(',').filter(Boolean);
  const matched = terms.map((term) => {
    const [, name, phase] = /^(?:metadata\.name==?([^=!]+)|status\.phase!=(\w+))$/.exec(term) ?? [];
    if (name === undefined && phase === undefined) {
      throw badRequest(`this stand-in knows no field selector but metadata.name and status.phase!=: ${term}`);
    }
    return { name, phase };
  });
  return {
    name: matched.find(({ name }) => name !== undefined)?.name,
    notInPhases: matched.flatMap(({ phase }) => phase ?? []),
  };
}

/** The name that `fieldSelector=metadata.name=NAME` asks for. @throws {Failure} 400 for another selector */
export function selectedName(query: URLSearchParams): string | undefined {
  return fieldTerms(query).name;
}

/** Whether an object is selected by name and by `labelSelector=key=value,…`. @throws {Failure} 400 for another form */
export function selects(query: URLSearchParams): (object: KubeObject) => boolean {
  const { name, notInPhases } = fieldTerms(query);
  const labels = (query.get('labelSelector') ?? '')
    .split(',')
    .filter(Boolean)
    .map((term) => {
      const [, key = '', value] = /^([\w./-]+)==?([\w.-]*)$/.exec(term) ?? [];
      if (value === undefined) {
        throw badRequest(`this stand-in knows no label selector but key=value: ${term}`);
      }
      return { key, value };
    });
  return ({ metadata, status }) =>
    !notInPhases.some((phase) => phase === objectOr(status)['phase']) &&
    (name === undefined || metadata.name === name) &&
    labels.every(({ key, value }) => metadata.labels?.[key] === value);
}

function satisfies(labels: Record<string, string>, expression: unknown): boolean {
  const { key, operator, values } = objectOr(expression);
  const value = typeof key === 'string' ? labels[key] : undefined;
  if (operator === 'In') {
    return value !== undefined && arrayOr(values).includes(value);
  }
  if (operator === 'NotIn') {
    return value === undefined || !arrayOr(values).includes(value);
  }
  return (operator === 'Exists') === (value !== undefined);
}

/** Whether labels meet a LabelSelector; one that is absent or empty is met by all. */
export function meets(labels: Record<string, string>, selector: unknown): boolean {
  const { matchLabels, matchExpressions } = objectOr(selector);
  const equal = Object.entries(stringsOf(matchLabels)).every(([key, value]) => labels[key] === value);
  return equal && arrayOr(matchExpressions).every((expression) => satisfies(labels, expression));
}
