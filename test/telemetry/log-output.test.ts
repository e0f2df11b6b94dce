import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { LineWriter } from '../../src/telemetry/log-output.ts';
import { eventually } from '../support/eventually.ts';

const logFile = new URL('../../src/telemetry/log.ts', import.meta.url);

/** Starts a program that logs to its standard output; what it writes to standard error tells the test of it. */
function startLogging(script: string, stdout: 'pipe' | number, nodeOptions: readonly string[] = []) {
  const program = `
    import { writeSync } from 'node:fs';
    import { createStandardLog } from '${logFile}';
    const { log, output } = createStandardLog('info');
    const tell = (text) => writeSync(2, text + '\\n');
    ${script}`;
  const child = spawn(process.execPath, [...nodeOptions, '--input-type=module', '--eval', program], {
    stdio: ['ignore', stdout, 'pipe'],
  });
  const told = { text: '' };
  child.stderr?.on('data', (chunk) => {
    told.text += chunk;
  });
  return { child, told };
}

/** Runs a program that logs to its standard output, a pipe; gives what came through it, line by line. */
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

  it('holds what is logged while the process exits', async () => {
    const lines = await linesOf(`log.info('first'); process.on('exit', () => log.info('last'));`);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).msg),
      ['first', 'last'],
    );
  });

  it('comes while the process goes on', async () => {
    const lines = await linesOf(`
      log.info('first');
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1000);
    `);
    assert.equal(lines.length, 1);
  });
});

describe('a reader that takes nothing', () => {
  it('neither stops the process nor fills its memory, and later gets whole lines and how many are missing', async () => {
    const { child, told } = startLogging(
      `
      const pod = 'x y '.repeat(725_000);
      for (let number = 0; number < 20_000; number += 1) log.info({ number, pod }, 'handled admission request');
      tell('dropped ' + output.droppedLines());
      setInterval(() => undefined, 1000);
      process.on('SIGTERM', () => process.exit(0));
      `,
      'pipe',
      ['--max-old-space-size=64'],
    );
    await eventually('all is logged', () => told.text.includes('dropped '), 60_000);
    const dropped = Number(told.text.replace('dropped ', ''));
    assert.ok(dropped > 15_000 && dropped < 20_000, told.text);
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
    const { child, told } = startLogging(
      `
      for (let number = 0; number < 20_000; number += 1) log.info({ number }, 'a line');
      process.on('exit', () => tell('exits'));
      const begun = performance.now();
      process.on('exit', () => tell('after ' + (performance.now() - begun)));
      process.exit(3);
      `,
      'pipe',
    );
    // 'exit' of the child, not 'close': nothing is ever read from the pipe
    assert.equal(await exitCode(child), 3);
    await eventually('it told', () => told.text.includes('after '));
    const ms = Number(/after ([\d.]+)/.exec(told.text)?.[1]);
    assert.ok(ms >= 1_000 && ms < 10_000, `${ms} ms`);
    child.stdout?.destroy();
  });
});

describe('standard output that cannot be written', () => {
  const goingOn = `
    log.info('first');
    setInterval(() => log.info('x'.repeat(90)), 1);
    setTimeout(() => tell('goes on'), 500);
    process.on('uncaughtException', (error) => { tell('uncaught ' + error); process.exit(9); });
    process.on('SIGTERM', () => { log.info('ended'); process.exit(0); });
  `;

  it('on a full disk: the process goes on, and exits when told', async () => {
    const full = openSync('/dev/full', 'w');
    const { child, told } = startLogging(goingOn, full);
    closeSync(full);
    await eventually('it goes on', () => told.text.includes('goes on'));
    child.kill('SIGTERM');
    assert.equal(await exitCode(child), 0);
    assert.ok(!told.text.includes('uncaught'), told.text);
  });

  it('on a closed pipe: the process goes on, and exits when told', async () => {
    const { child, told } = startLogging(goingOn, 'pipe');
    child.stdout?.destroy();
    await eventually('it goes on', () => told.text.includes('goes on'));
    child.kill('SIGTERM');
    assert.equal(await exitCode(child), 0);
    assert.ok(!told.text.includes('uncaught'), told.text);
  });
});

/** A writer whose output accepts bytes, some of them, or fails with a code. */
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

describe('lines that wait to be written', () => {
  for (const code of ['EAGAIN', 'ENOSPC', 'EPIPE', 'EIO', 'EINTR']) {
    it(`are kept up to a bound, counted beyond it, and written once ${code} is over`, () => {
      const { writer, output } = scripted();
      output.fails = code;
      for (let at = 0; at < 5_000; at += 1) writer.write(line);
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

  it('go on where a write stopped in the middle of one', () => {
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

  it('are given up at the exit where the disk stays full, at once', () => {
    const { writer, output } = scripted();
    output.fails = 'ENOSPC';
    writer.write(line);
    const begun = performance.now();
    writer.flushAtExit();
    assert.ok(performance.now() - begun < 900);
  });
});
