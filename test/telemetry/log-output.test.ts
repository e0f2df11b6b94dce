// Tests that log lines are complete and in order, and never block the process or fill its memory.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { LineWriter } from '../../src/telemetry/log-output.ts';
import { eventually } from '../support/eventually.ts';

const logFile = new URL('../../src/telemetry/log.ts', import.meta.url);

/** Starts a program that logs to its standard output, and reports to the test on standard error. */
function startLogging(script: string, stdout: 'pipe' | number, nodeOptions: readonly string[] = []) {
  const program = `
    import { writeSync } from 'node:fs';
    import { createStandardLog } from '${logFile}';
    const { log, output } = createStandardLog('info');
    const report = (text) => writeSync(2, text + '\\n');
    ${script}`;
  const child = spawn(process.execPath, [...nodeOptions, '--input-type=module', '--eval', program], {
    stdio: ['ignore', stdout, 'pipe'],
  });
  const report = { text: '' };
  child.stderr?.on('data', (chunk) => {
    report.text += chunk;
  });
  return { child, report };
}

/** Runs a program that logs to a pipe, and returns the lines that it wrote. */
async function linesOf(script: string): Promise<string[]> {
  const { child } = startLogging(script, 'pipe');
  assert.ok(child.stdout);
  const output = await text(child.stdout);
  return output.split('\n').filter((line) => line !== '');
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  return child.exitCode ?? (await once(child, 'exit'))[0];
}

const many = 3_000;
const numbered = `for (let number = 0; number < ${many}; number += 1) log.info({ number }, 'a line');`;

describe('the log on standard output', () => {
  for (const [how, end] of [
    ['normally', ''],
    ['by process.exit', 'process.exit(0);'],
    [
      'by an uncaught error',
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

  it('contains what is logged while the process exits', async () => {
    const lines = await linesOf(`log.info('first'); process.on('exit', () => log.info('last'));`);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).msg),
      ['first', 'last'],
    );
  });

  it('is written while the process runs', async () => {
    const lines = await linesOf(`
      log.info('first');
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1000);
    `);
    assert.equal(lines.length, 1);
  });
});

describe('a reader that reads nothing', () => {
  it('neither blocks the process nor fills its memory, and later gets complete lines and the number of missing ones', async () => {
    const { child, report } = startLogging(
      `
      const pod = 'x y '.repeat(725_000);
      for (let number = 0; number < 20_000; number += 1) log.info({ number, pod }, 'handled admission request');
      report('dropped ' + output.droppedLines());
      setInterval(() => undefined, 1000);
      process.on('SIGTERM', () => process.exit(0));
      `,
      'pipe',
      ['--max-old-space-size=64'],
    );
    await eventually('all is logged', () => report.text.includes('dropped '), 60_000);
    const dropped = Number(report.text.replace('dropped ', ''));
    assert.ok(dropped > 15_000 && dropped < 20_000, report.text);
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    await eventually('the lines came', () => output.includes('dropped log lines'), 30_000);
    child.kill('SIGTERM');
    assert.equal(await exitCode(child), 0);
    const lines = output.trimEnd().split('\n');
    const last = JSON.parse(lines.at(-1) ?? '');
    assert.deepEqual([last.level, last.lines], ['error', dropped]);
    assert.deepEqual(
      lines.slice(0, -1).map((line) => JSON.parse(line).number),
      Array.from({ length: 20_000 - dropped }, (_, index) => index),
    );
  });

  it('does not keep the process from exiting', async () => {
    const { child, report } = startLogging(
      `
      for (let number = 0; number < 20_000; number += 1) log.info({ number }, 'a line');
      process.on('exit', () => report('exits'));
      const begun = performance.now();
      process.on('exit', () => report('after ' + (performance.now() - begun)));
      process.exit(3);
      `,
      'pipe',
    );
    // 'exit' of the child and not 'close', because the pipe is never read
    assert.equal(await exitCode(child), 3);
    await eventually('it stdout', () => report.text.includes('after '));
    const ms = Number(/after ([\d.]+)/.exec(report.text)?.[1]);
    assert.ok(ms >= 1_000 && ms < 10_000, `${ms} ms`);
    child.stdout?.destroy();
  });
});

describe('standard output that cannot be written to', () => {
  const continuingProgram = `
    log.info('first');
    setInterval(() => log.info('x'.repeat(90)), 1);
    setTimeout(() => report('continues'), 500);
    process.on('uncaughtException', (error) => { report('uncaught ' + error); process.exit(9); });
    process.on('SIGTERM', () => { log.info('ended'); process.exit(0); });
  `;

  it('on a full disk: the process continues, and exits on a signal', async () => {
    const full = openSync('/dev/full', 'w');
    const { child, report } = startLogging(continuingProgram, full);
    closeSync(full);
    await eventually('the process continues', () => report.text.includes('continues'));
    child.kill('SIGTERM');
    assert.equal(await exitCode(child), 0);
    assert.ok(!report.text.includes('uncaught'), report.text);
  });

  it('on a closed pipe: the process continues, and exits on a signal', async () => {
    const { child, report } = startLogging(continuingProgram, 'pipe');
    child.stdout?.destroy();
    await eventually('the process continues', () => report.text.includes('continues'));
    child.kill('SIGTERM');
    assert.equal(await exitCode(child), 0);
    assert.ok(!report.text.includes('uncaught'), report.text);
  });
});

/** A writer whose output accepts all or some of the bytes, or fails with a code. */
function scripted(maxWaitingBytes = 100_000) {
  const output = { written: '', fails: '', takes: Number.POSITIVE_INFINITY, recovered: [] as number[] };
  const writer = new LineWriter({
    write: (bytes) => {
      if (output.takes === 0 || output.fails !== '') {
        throw Object.assign(new Error('x'), { code: output.fails || 'EAGAIN' });
      }
      const taken = bytes.subarray(0, output.takes);
      output.takes -= taken.length;
      output.written += Buffer.from(taken).toString('latin1');
      return taken.length;
    },
    maxWaitingBytes,
    onRecovery: (lines) => output.recovered.push(lines),
  });
  return { writer, output };
}

const line = `${'x'.repeat(99)}\n`;

describe('buffered lines', () => {
  for (const code of ['EAGAIN', 'ENOSPC', 'EPIPE', 'EIO', 'EINTR']) {
    it(`are kept up to a bound, counted beyond it, and written once ${code} is over`, () => {
      const { writer, output } = scripted();
      output.fails = code;
      for (let at = 0; at < 5_000; at += 1) {
        writer.write(line);
      }
      assert.equal(writer.flush(), code);
      assert.deepEqual([output.written, output.recovered], ['', []]);
      const kept = 5_000 - writer.droppedLines();
      assert.ok(kept * line.length > 83_000 && kept * line.length <= 117_000, `${kept}`);
      output.fails = '';
      assert.equal(writer.flush(), 'all');
      assert.equal(output.written, line.repeat(kept));
      assert.deepEqual(output.recovered, [5_000 - kept]);
      writer.write(line);
      writer.flush();
      assert.equal(output.written, line.repeat(kept + 1));
      assert.equal(output.recovered.length, 1, 'reported once');
    });
  }

  it('continue where an incomplete write stopped', () => {
    const { writer, output } = scripted();
    const lines = Array.from({ length: 50 }, (_, at) => `line ${at}\n`).join('');
    output.takes = 7;
    writer.write(lines);
    assert.equal(writer.flush(), 'EAGAIN');
    for (let takes = 1; output.written.length < lines.length; takes += 1) {
      output.takes = takes;
      writer.flush();
    }
    assert.equal(output.written, lines);
  });

  it('are dropped at once at exit if the disk stays full', () => {
    const { writer, output } = scripted();
    output.fails = 'ENOSPC';
    writer.write(line);
    const begun = performance.now();
    writer.flushAtExit();
    assert.ok(performance.now() - begun < 900);
  });
});
