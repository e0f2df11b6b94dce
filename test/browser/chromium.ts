// Finds Chromium for tests of HTML pages in a real browser.
import { delimiter, join } from 'node:path';
import { isExecutable } from '../support/executables.ts';

/** The program and its Debian package. */
export const requiredBrowser = 'chromium';

/** The path of Chromium; undefined if PATH does not contain it. */
export function findChromium(env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, requiredBrowser)).find(isExecutable);
}
