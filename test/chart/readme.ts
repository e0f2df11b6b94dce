import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

const begin = '<!-- values: made from values.yaml by `npm run chart:readme` -->';
const end = '<!-- end of values -->';

/**
 * The chart's README with the table of values made anew from values.yaml: one row for each value, told by the comment
 * that stands before it.
 * @throws where the README has no place for it
 */
export function chartReadme(readme: string, values: string): string {
  const [head, rest] = readme.split(begin);
  const tail = rest?.split(end)[1];
  if (head === undefined || tail === undefined) throw new Error(`README.md has no ${begin} and ${end}`);
  const { contents } = parseDocument(values);
  if (!isMap(contents)) throw new Error('values.yaml holds no map');
  const rows = rowsOf(contents).map(({ key, value, text }) => `| \`${key}\` | \`${value}\` | ${text} |`);
  return `${head}${begin}\n\n| value | default | |\n| --- | --- | --- |\n${rows.join('\n')}\n\n${end}${tail}`;
}

interface Row {
  readonly key: string;
  readonly value: string;
  readonly text: string;
}

function rowsOf(map: YAMLMap, path = ''): Row[] {
  return map.items.flatMap((pair, index) => {
    const key = `${path}${isScalar(pair.key) ? pair.key.value : pair.key}`;
    // the comment before the first of a map's keys is kept at the map
    const comment = commentOf(pair) ?? (index === 0 ? map.commentBefore : undefined);
    const text = (comment ?? '').replaceAll(/\n\s*/g, ' ').trim().replaceAll('|', '\\|');
    if (isMap(pair.value) && pair.value.items.length > 0 && !isWhole(key)) {
      const rows = rowsOf(pair.value, `${key}.`);
      const [first, ...others] = rows;
      // what is said of a group is said at its first value
      return first === undefined
        ? []
        : [{ ...first, text: [text, first.text].filter(Boolean).join(' ') }, ...others];
    }
    const value = JSON.stringify(pair.value === null ? null : Object(pair.value).toJSON());
    return [{ key, value: value.replaceAll('|', '\\|'), text }];
  });
}

/** Maps that are one value to whoever sets them. */
function isWhole(key: string): boolean {
  return /(^|\.)(resources|nodeSelector)$/.test(key);
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
