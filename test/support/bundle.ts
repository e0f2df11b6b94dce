import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the program as the image has it, into a file of this name. */
export async function bundleInto(file: string): Promise<void> {
  await promisify(execFile)(process.execPath, [join(root, 'build.ts'), file], { cwd: root });
}
