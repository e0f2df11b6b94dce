// Checks that links, paths and npm scripts in the documentation, and references to the documentation elsewhere, exist.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, matchesGlob, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { anchorsOf, withoutCode } from './support/markdown-anchors.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const topFolders = [
  'src',
  'test',
  'bench',
  'demo',
  'certs-scripts',
  'image',
  'plugins',
  'try',
  'charts',
  'docs',
  '.github',
];
const files = globSync(['*', '.*', ...topFolders.map((folder) => `${folder}/**/*`)], { cwd: root })
  .filter((file) => /\.\w+$/.test(file) || file === 'Dockerfile')
  .filter((file) => !file.includes('node_modules'));
const pages = files.filter((file) => file.endsWith('.md'));

const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const packageJson: { scripts: Record<string, string> } = JSON.parse(read('package.json'));

/** Why `target`, a path with an optional anchor, cannot be opened from `folder`; undefined if it can. */
function findProblem(folder: string, target: string, samePage: string): string | undefined {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? samePage : relative(root, join(root, folder, path));
  if (!existsSync(join(root, file))) {
    return `${target}: no such file`;
  }
  if (anchor !== undefined && file.endsWith('.md') && !anchorsOf(read(file)).has(anchor)) {
    return `${target}: no such heading in ${file}`;
  }
  return undefined;
}

/** Targets of inline links, reference definitions and HTML attributes. */
function linksOf(page: string): string[] {
  const patterns = [/\]\(<?([^)\s>]+)/g, /^\[[^\]]+\]: (\S+)/gm, /\b(?:href|src|srcset)="([^"\s]+)/g];
  const text = withoutCode(read(page));
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, target = '']) => target));
}

describe('documentation', () => {
  for (const page of pages) {
    it(`${page}: relative links resolve`, () => {
      const targets = linksOf(page).filter((target) => !/^[a-z]+:/.test(target));
      const problems = targets.map((target) => findProblem(dirname(page), target, page));
      assert.deepEqual(
        problems.filter((problem) => problem !== undefined),
        [],
      );
    });

    it(`${page}: the files and npm scripts that it mentions exist`, () => {
      const text = read(page);
      const mentioned = text.matchAll(
        /(?<![\w./:@-])(?:src|test|bench|demo|certs-scripts|image|plugins|try)\/[\w./*-]*/g,
      );
      const paths = [...mentioned].map(([path]) => path.replace(/[./]+$/, ''));
      const exists = (path: string) =>
        path.includes('*')
          ? files.some((file) => matchesGlob(file, path))
          : path === '' || existsSync(join(root, path));
      assert.deepEqual(
        paths.filter((path) => !exists(path)),
        [],
      );
      const names = [...text.matchAll(/`([\w*./-]+\.(?:ts|cjs|mjs))`/g)].map(([, name = '']) => name);
      const isKnown = (name: string) =>
        name.startsWith('dist/') || files.some((file) => file === name || matchesGlob(file, `**/${name}`));
      assert.deepEqual(
        names.filter((name) => !isKnown(name)),
        [],
      );
      const scripts = [...text.matchAll(/npm run (?:--[\w-]+ )*([\w:-]+)/g)].map(([, name = '']) => name);
      assert.deepEqual(
        scripts.filter((name) => packageJson.scripts[name] === undefined),
        [],
      );
    });
  }

  it('has every page in the index or linked from a page of the index', () => {
    const linked = (page: string) =>
      linksOf(page)
        .filter((target) => !/^[a-z]+:/.test(target))
        .map((target) => relative(root, join(root, dirname(page), target.split('#')[0] ?? '')));
    const index = linked('docs/README.md');
    const decisions = linked('docs/explanation/decisions/README.md');
    const listed = new Set(['docs/README.md', ...index, ...decisions]);
    assert.deepEqual(
      pages.filter((page) => page.startsWith('docs/') && !listed.has(page)),
      [],
    );
  });

  it('exists where code, chart and workflows refer to it', () => {
    const problems = files
      .filter((file) => !file.endsWith('.md') && /\.(ts|cjs|json|ya?ml|tpl|txt)$|^Dockerfile$/.test(file))
      .flatMap((file) => {
        const references = read(file).matchAll(/(?<![\w-])docs\/[\w/-]+\.md(?:#[\w-]+)?/g);
        return [...references].map(([reference]) => {
          const problem = findProblem('.', reference, file);
          return problem === undefined ? undefined : `${file}: ${problem}`;
        });
      });
    assert.deepEqual(
      problems.filter((problem) => problem !== undefined),
      [],
    );
  });
});
