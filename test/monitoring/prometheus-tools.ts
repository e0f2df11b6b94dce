// Checks whether this machine has Prometheus, and runs promtool.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWithHelm } from '../chart/chart-suite.ts';
import type { Helm } from '../chart/helm.ts';
import { findMissingPrograms } from '../support/executables.ts';
import { declareUnless } from '../support/required-tools.ts';
import { runProgram } from '../support/run-program.ts';

/** The programs of the Debian package `prometheus`. */
export const prometheusPrograms = { server: 'prometheus', tool: 'promtool' } as const;

/** Why queries and rules cannot be tested; undefined if PATH contains all programs. */
function findPrometheusObstacle(env: NodeJS.ProcessEnv): string | undefined {
  const missing = findMissingPrograms(Object.values(prometheusPrograms), env);
  return missing.length === 0
    ? undefined
    : `NO PROMETHEUS: no ${missing.join(' and no ')} in PATH (on Debian: apt-get install prometheus)`;
}

/**
 * Declares a suite that needs Helm, Prometheus and promtool. Without them it is skipped with the reason; in CI it fails.
 * @param body declares the tests; its argument returns Helm and may be called within tests and hooks only
 */
export function describeWithPrometheus(name: string, body: (helm: () => Helm) => void): void {
  declareUnless(findPrometheusObstacle(process.env), name, () => describeWithHelm(name, body));
}

/**
 * Runs promtool in a temporary folder with the given files.
 * @param files name → content; JSON is valid YAML
 */
export async function runPromtool(
  args: readonly string[],
  files: Readonly<Record<string, unknown>>,
): Promise<{ readonly code: number; readonly output: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'promtool-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(folder, name), JSON.stringify(content));
    }
    const options = { cwd: folder, timeout: 120_000 };
    const { code, stdout, stderr } = await runProgram(prometheusPrograms.tool, args, options);
    return { code, output: `${stdout}${stderr}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
