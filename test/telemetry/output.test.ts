import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

const logFile = new URL('../../src/telemetry/log.ts', import.meta.url);

/** Runs a program that logs to its standard output, a pipe; gives what came through it, line by line. */
async function linesOf(script: string): Promise<string[]> {
  const program = `import { jsonLog } from '${logFile}'; const log = jsonLog('info'); ${script}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = await text(child.stdout);
  return output.split('\n').filter((line) => line !== '');
}

const many = 3_000;
const numbered = `for (let number = 0; number < ${many}; number += 1) log.info({ number }, 'a line');`;

describe('the log on standard output', () => {
  for (const [how, end] of [
    ['by itself', ''],
    ['by process.exit', 'process.exit(0);'],
    [
      'by an error that nobody catches',
      "process.on('uncaughtException', () => process.exit(1)); throw new Error('a bug');",
    ],
    ['after a while', 'setTimeout(() => process.exit(0), 300);'],
  ] as const) {
    it(`is whole and in order when the process ends ${how}`, async () => {
      const lines = await linesOf(`log.info('first'); ${numbered} ${end}`);
      const numbers = lines.slice(1).map((line) => JSON.parse(line).number);
      assert.deepEqual(
        numbers,
        Array.from({ length: many }, (_, index) => index),
      );
    });
  }

  it('comes while the process goes on', async () => {
    const lines = await linesOf(`
      log.info('first');
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1000);
    `);
    assert.equal(lines.length, 1);
  });
});
