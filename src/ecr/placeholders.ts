// Expands the placeholders in the templates of registry rules: {namespace}, {account}, {region} and {partition}.

const names = ['namespace', 'account', 'region', 'partition'] as const;

/** The name of a placeholder. */
export type Placeholder = (typeof names)[number];

/** What the placeholders stand for. None of the values contains a character that needs escaping in ARNs, tags or patterns. */
export type PlaceholderValues = Readonly<Record<Placeholder, string>>;

/**
 * A word in braces. Policy variables of IAM such as `${aws:username}` contain a colon, and a brace of JSON is followed by a
 * quote or a space, so neither looks like a placeholder.
 */
const pattern = /\{([A-Za-z][\w-]*)\}/g;

/** All placeholders, as a message lists them. */
export const knownPlaceholders = '{namespace}, {account}, {region} and {partition}';

/** Returns the names of the placeholders in templates, each once and always in the same order. */
export function findPlaceholders(templates: readonly string[]): Placeholder[] {
  return names.filter((name) => templates.some((template) => template.includes(`{${name}}`)));
}

/** Whether all placeholders of a template are known. */
export function hasOnlyKnownPlaceholders(template: string): boolean {
  return [...template.matchAll(pattern)].every(([, name]) => names.some((known) => known === name));
}

/** Max lengths of the values: a namespace and an account, and the longest names that a registry's host can contain. */
const maxValueLengths: Readonly<Record<Placeholder, number>> = {
  namespace: 63,
  account: 12,
  region: 40,
  partition: 16,
};

/** The max length of a template after its placeholders are expanded. */
export function getLongestExpansion(template: string): number {
  return expand(template, maxValueLengths, (length) => 'x'.repeat(length)).length;
}

/** Replaces the placeholders of a template by their values. */
export function expandTemplate(template: string, values: PlaceholderValues): string {
  return expand(template, values, (value) => value);
}

/** Replaces the placeholders of a template in JSON, where they stand inside of strings. */
export function expandJsonTemplate(template: string, values: PlaceholderValues): string {
  return expand(template, values, (value) => JSON.stringify(value).slice(1, -1));
}

function expand<T>(
  template: string,
  values: Readonly<Record<Placeholder, T>>,
  encode: (value: T) => string,
): string {
  return template.replace(pattern, (text, name: string) =>
    Object.hasOwn(values, name) ? encode(values[name as Placeholder]) : text,
  );
}
