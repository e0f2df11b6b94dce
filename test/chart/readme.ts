// Generates the chart's README from README.md.gotmpl and values.yaml: `npm run chart:readme`. The result is that of
// `helm-docs --sort-values-order=file` (helm-docs 1.14), whose conventions both files follow, so that either tool can be used.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

const placeholder = '{{ template "chart.valuesTable" . }}';

/**
 * Replaces the placeholder in the template by the table of values: one row for each value, described by the comment before it
 * (`# -- description`). A map with a description is one row.
 * @throws {Error} if the template does not contain the placeholder, or if values.yaml contains no map
 */
export function chartReadme(template: string, values: string): string {
  const [head, tail, ...more] = template.split(placeholder);
  if (head === undefined || tail === undefined || more.length > 0) {
    throw new Error(`README.md.gotmpl must contain ${placeholder} once`);
  }
  const { contents } = parseDocument(values);
  if (!isMap(contents)) {
    throw new Error('values.yaml must contain a map');
  }
  const rows = rowsOf(contents).map(
    ({ key, value, text }) => `| ${key} | ${typeOf(value)} | \`${sortedJson(value)}\` | ${text} |`,
  );
  return `${head}| Key | Type | Default | Description |\n|-----|------|---------|-------------|\n${rows.join('\n')}${tail}`;
}

interface Row {
  readonly key: string;
  readonly value: unknown;
  readonly text: string;
}

function rowsOf(map: YAMLMap, path = ''): Row[] {
  return map.items.flatMap((pair, index) => {
    const key = `${path}${isScalar(pair.key) ? pair.key.value : pair.key}`;
    // The YAML library attaches the comment before the first key of a map to the map.
    const comment = commentOf(pair) ?? (index === 0 ? map.commentBefore : undefined);
    const text = descriptionIn(comment ?? '');
    if (isMap(pair.value) && pair.value.items.length > 0 && text === '') {
      return rowsOf(pair.value, `${key}.`);
    }
    return [{ key, value: Object(pair.value).toJSON(), text }];
  });
}

/** The text from the line that begins with `--`, in one line. */
function descriptionIn(comment: string): string {
  const lines = comment.split('\n').map((line) => line.trim());
  const start = lines.findIndex((line) => line.startsWith('-- '));
  return start < 0 ? '' : lines.slice(start).join(' ').slice('-- '.length);
}

function commentOf({ key }: Pair): string | undefined {
  return (isScalar(key) && key.commentBefore) || undefined;
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) {
    return 'list';
  }
  const types = { string: 'string', boolean: 'bool', number: Number.isInteger(value) ? 'int' : 'float' };
  return types[typeof value as keyof typeof types] ?? 'object';
}

/** JSON with sorted keys. */
function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner,
  );
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, '../../charts/ecr-pull-secrets');
  const [template, values] = await Promise.all(
    ['README.md.gotmpl', 'values.yaml'].map((name) => readFile(join(folder, name), 'utf8')),
  );
  await writeFile(join(folder, 'README.md'), chartReadme(template ?? '', values ?? ''));
}
