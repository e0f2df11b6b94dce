// Tests that child processes never outlive the process that started them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { it } from 'node:test';
import { eventually } from '../support/eventually.ts';

const child = join(import.meta.dirname, 'child-process.ts');

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
  it(`a child and its folder are removed when the parent is killed by ${signal}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'orphan-'));
    const { parent, pid } = await startParentAndChild(folder, 'setInterval(() => {}, 1000)');
    assert.ok(isRunning(pid));
    parent.kill(signal);
    await eventually('child and folder are removed', () => !isRunning(pid) && !existsSync(folder));
  });
}

it('a child does not keep its parent running', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'orphan-'));
  const { parent, pid } = await startParentAndChild(folder, 'child.unref()');
  if (parent.exitCode === null) {
    await once(parent, 'exit');
  }
  await eventually('child and folder are removed', () => !isRunning(pid) && !existsSync(folder));
});

/** Starts a process that starts a child with killOnExit, prints the pid of the child, and executes a statement. */
async function startParentAndChild(folder: string, nextStatement: string) {
  const script = `
    import { spawn } from 'node:child_process';
    import { killOnExit } from ${JSON.stringify(child)};
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    killOnExit(child, ${JSON.stringify(folder)});
    console.log(child.pid);
    ${nextStatement}`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface(parent.stdout), 'line');
  return { parent, pid: Number(line) };
}

/** Whether a process runs. A zombie does not count, because it stays forever if no init process reaps it. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch (error) {
    const noProc = error instanceof Error && 'syscall' in error && error.syscall === 'open';
    return noProc && !existsSync('/proc/self');
  }
}
