// Draws the plots of docs/performance.md and fills in its tables from bench/results: npm run bench:plots
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawHotPath, drawScale, drawSimulation } from './charts.ts';
import { type HotPathResult, hotPathTable } from './hot-path-report.ts';
import { readResult } from './results.ts';
import { type ScaleResult, scaleTable } from './scale-report.ts';
import type { SimulationResult } from './simulation-result.ts';

const docs = join(import.meta.dirname, '../docs');

/** Returns the path and the content of each generated file. Of docs/performance.md only the tables are generated. */
export async function generateFiles(): Promise<ReadonlyMap<string, string>> {
  const hotPath = await readResult<HotPathResult>('hot-path');
  const scale = await readResult<ScaleResult>('scale');
  const scaleIdentities = await readResult<ScaleResult>('scale-identities');
  const simulation = await readResult<SimulationResult>('simulation');
  const page = join(docs, 'performance.md');
  const tables = {
    'bench-hot-path': hotPathTable(hotPath),
    'bench-scale': scaleTable(scale),
    'bench-scale-identities': scaleTable(scaleIdentities),
  };
  return new Map([
    [join(docs, 'images/hot-path.svg'), await drawHotPath(hotPath)],
    [join(docs, 'images/scale.svg'), await drawScale(scale)],
    [join(docs, 'images/simulation.svg'), await drawSimulation(simulation)],
    [page, replaceTables(await readFile(page, 'utf8'), tables)],
  ]);
}

/** Replaces what is between `<!-- NAME -->` and `<!-- /NAME -->`. */
function replaceTables(markdown: string, tables: Readonly<Record<string, string>>): string {
  return Object.entries(tables).reduce((page, [name, table]) => {
    const [before, rest] = page.split(`<!-- ${name} -->`);
    const [, after] = rest?.split(`<!-- /${name} -->`) ?? [];
    if (after === undefined) {
      throw new Error(`docs/performance.md has no place for the table ${name}`);
    }
    return `${before}<!-- ${name} -->\n\n${table}\n<!-- /${name} -->${after}`;
  }, markdown);
}

if (import.meta.main) {
  for (const [file, content] of await generateFiles()) {
    await writeFile(file, content);
  }
}
