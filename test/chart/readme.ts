// Generates the table of values in the chart's README from values.yaml: `npm run chart:readme`.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

const begin = '<!-- values: generated from values.yaml by `npm run chart:readme` -->';
const end = '<!-- end of values -->';

/**
 * Replaces the table of values in the chart's README: one row for each value, described by the comment that precedes it.
 * @throws {Error} if the README does not contain both markers, or if values.yaml contains no map
 */
export function chartReadme(readme: string, values: string): string {
  const [head, rest] = readme.split(begin);
  const tail = rest?.split(end)[1];
  if (head === undefined || tail === undefined) {
    throw new Error(`README.md must contain ${begin} and ${end}`);
  }
  const { contents } = parseDocument(values);
  if (!isMap(contents)) {
    throw new Error('values.yaml must contain a map');
  }
  const rows = rowsOf(contents).map(({ key, value, text }) => `| \`${key}\` | \`${value}\` | ${text} |`);
  return `${head}${begin}\n\n| value | default | description |\n| --- | --- | --- |\n${rows.join('\n')}\n\n${end}${tail}`;
}

interface Row {
  readonly key: string;
  readonly value: string;
  readonly text: string;
}

function rowsOf(map: YAMLMap, path = ''): Row[] {
  return map.items.flatMap((pair, index) => {
    const key = `${path}${isScalar(pair.key) ? pair.key.value : pair.key}`;
    // The YAML library attaches the comment before the first key of a map to the map.
    const comment = commentOf(pair) ?? (index === 0 ? map.commentBefore : undefined);
    const text = (comment ?? '').replaceAll(/\n\s*/g, ' ').trim().replaceAll('|', '\\|');
    if (isMap(pair.value) && pair.value.items.length > 0 && !isSingleValue(key)) {
      const rows = rowsOf(pair.value, `${key}.`);
      const [first, ...others] = rows;
      // The description of a group precedes the description of its first value.
      return first === undefined
        ? []
        : [{ ...first, text: [text, first.text].filter(Boolean).join(' ') }, ...others];
    }
    const value = JSON.stringify(pair.value === null ? null : Object(pair.value).toJSON());
    return [{ key, value: value.replaceAll('|', '\\|'), text }];
  });
}

/** Whether a map is one row, because operators set it as a whole. */
function isSingleValue(key: string): boolean {
  return /(^|\.)(resources|nodeSelector|podSecurityContext|securityContext)$/.test(key);
}

function commentOf({ key }: Pair): string | undefined {
  return (isScalar(key) && key.commentBefore) || undefined;
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, '../../charts/ecr-pull-secrets');
  const [readme, values] = await Promise.all(
    ['README.md', 'values.yaml'].map((name) => readFile(join(folder, name), 'utf8')),
  );
  await writeFile(join(folder, 'README.md'), chartReadme(readme ?? '', values ?? ''));
}
