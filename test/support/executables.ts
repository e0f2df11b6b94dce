// Finds executable files.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Whether the file exists and this process may execute it. */
export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of a program; undefined if no folder in PATH contains it. */
export function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** The programs that no folder in PATH contains. */
export function findMissingPrograms(names: readonly string[], env: NodeJS.ProcessEnv): string[] {
  return names.filter((name) => findProgram(name, env) === undefined);
}
