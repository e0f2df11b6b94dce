// Reads and writes the result files of the benchmarks. bench/results/ holds those that docs/performance.md shows.
import { readFile, writeFile } from 'node:fs/promises';

/** Writes a result as JSON, with one line per property. */
export async function writeResult(file: string, result: object): Promise<void> {
  const properties = Object.entries(result).map(
    ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  );
  await writeFile(file, `{\n${properties.join(',\n')}\n}\n`);
}

/** Reads a committed result. */
export async function readResult<Result>(
  name: 'hot-path' | 'scale' | 'scale-identities' | 'simulation',
): Promise<Result> {
  return JSON.parse(await readFile(new URL(`results/${name}.json`, import.meta.url), 'utf8'));
}
