// Runs the demo and draws its output as docs/images/demo.svg (npm run docs:demo).
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { renderTerminal } from './terminal-svg.ts';

const demoFile = fileURLToPath(new URL('demo.ts', import.meta.url));

/** Where the picture is stored, and read from by the documentation. */
export const pictureFile = new URL('../docs/images/demo.svg', import.meta.url);

/**
 * Returns the output of one run of the demo, with colours, and with fixed values in place of those that differ
 * between runs.
 * @throws if the demo fails
 */
export async function recordDemo(): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [demoFile], {
    // NO_COLOR and NODE_DISABLE_COLORS would take precedence over FORCE_COLOR.
    env: { PATH: process.env['PATH'], FORCE_COLOR: '1' },
  });
  return stdout
    .trimEnd()
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '2026-11-27T00:00:00Z')
    .replaceAll(/\bteam-[0-9a-f]+/g, 'team-1a2b3c4d')
    .replaceAll(/\bpod-[0-9a-f]+/g, 'pod-5e6f7a8b9c');
}

/** Draws the output of the demo. */
export function drawDemo(output: string): string {
  return renderTerminal(output, {
    title: 'Output of npm run demo',
    description:
      'A pod with an Amazon ECR image gets a pull secret. A second pod and a dry run need no further call to AWS. ' +
      'A pod that is created while ECR is down is admitted with a warning, and its token is added later.',
    command: 'npm run demo',
  });
}

if (import.meta.main) {
  await writeFile(pictureFile, drawDemo(await recordDemo()));
}
