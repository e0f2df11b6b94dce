// Finds the Kubernetes manifests in the code blocks of documentation pages.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LineCounter, parse, parseAllDocuments } from 'yaml';
import type { KubeObject } from '../chart/rendered-objects.ts';

const root = join(import.meta.dirname, '../..');

/** An object in a YAML code block. */
export interface PageManifest {
  /** The page and the line of the object, for example `README.md:12`. */
  readonly place: string;
  readonly object: KubeObject;
}

/**
 * Returns the objects in the YAML code blocks of a page, also of indented blocks and of blocks with several documents. Documents
 * without `apiVersion`, `kind` and `metadata`, for example values of the chart or a kubeconfig, are skipped, and so are
 * blocks with `…`, which show what the program stores.
 * @param page the path in the repository
 * @throws {Error} with the page and line if a block is not valid YAML
 */
export function readPageManifests(page: string): PageManifest[] {
  return findManifests(page, readPage(page));
}

/** Like {@link readPageManifests}, for the text of a page. */
export function findManifests(page: string, markdown: string): PageManifest[] {
  return [...markdown.matchAll(/^( *)```yaml\n(.*?)^\1```$/gms)].flatMap((block) => {
    const [, indentation = '', code = ''] = block;
    if (code.includes('…')) {
      return [];
    }
    const firstLine = markdown.slice(0, block.index).split('\n').length + 1;
    return parseBlock(code.replaceAll(new RegExp(`^${indentation}`, 'gm'), ''), page, firstLine);
  });
}

/**
 * Returns the values of the chart in a page: the only YAML block that begins with the comment `# values of the chart`.
 * @throws {Error} if there is no such block, or more than one
 */
export function readPageValues(page: string): Record<string, unknown> {
  const blocks = [...readPage(page).matchAll(/^```yaml\n# values of the chart\n(.*?)^```$/gms)];
  const [, values] = blocks[0] ?? [];
  if (values === undefined || blocks.length > 1) {
    throw new Error(`${page}: ${blocks.length} blocks with values of the chart`);
  }
  return parse(values);
}

const readPage = (page: string): string => readFileSync(join(root, page), 'utf8');

function parseBlock(code: string, page: string, firstLine: number): PageManifest[] {
  const lineCounter = new LineCounter();
  const placeOf = (offset: number) => `${page}:${firstLine + lineCounter.linePos(offset).line - 1}`;
  const documents = parseAllDocuments(code, { lineCounter });
  return [...documents].flatMap((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) {
      throw new Error(`${placeOf(problem.pos[0])}: ${problem.message}`);
    }
    const object: unknown = document.toJS();
    const place = placeOf(document.contents?.range?.[0] ?? 0);
    return isKubeObject(object) ? [{ place, object }] : [];
  });
}

function isKubeObject(value: unknown): value is KubeObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    ['apiVersion', 'kind', 'metadata'].every((key) => key in value)
  );
}
