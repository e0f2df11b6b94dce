// Starts a server as a child process and waits until it is ready.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { killOnExit, waitForExit } from './child-process.ts';

/** A server did not become ready. The message contains the end of its log. */
export class ServerStartError extends Error {
  readonly code = 'server-not-ready';
  /** Another process has taken the port. */
  readonly portTaken: boolean;

  constructor(message: string, portTaken: boolean) {
    super(message);
    this.portTaken = portTaken;
  }
}

/** A server in a child process, which is killed when this process ends. */
export interface ServerProcess {
  /** Sends SIGKILL and waits until the process has exited: its connections are closed and its port is free. */
  kill(): Promise<void>;
}

export interface ServerProcessOptions {
  readonly program: string;
  readonly args: readonly string[];
  /** Both output streams are appended to this file. */
  readonly logFile: string;
  /** Called repeatedly until it returns true. An error counts as false. */
  readonly isReady: () => Promise<boolean>;
  /** How long the server may take to become ready, in ms. */
  readonly timeoutMs: number;
  /** A directory to remove if this process is killed. */
  readonly removeIfOrphaned?: string;
}

/**
 * Starts a server and waits until it is ready.
 * @throws {ServerStartError} if it exits or is not ready in time. It is killed in this case.
 */
export async function startServer(options: ServerProcessOptions): Promise<ServerProcess> {
  const log = openSync(options.logFile, 'a');
  const child = spawn(options.program, options.args, { stdio: ['ignore', log, log] });
  closeSync(log);
  const failure = { reason: '' };
  child.once('error', (error) => {
    failure.reason = error.message;
  });
  if (child.pid !== undefined) {
    killOnExit(child, options.removeIfOrphaned);
  }
  child.unref();
  let isKilled = false;
  const kill = () => {
    isKilled = true;
    return killAndWait(child);
  };
  const deadline = performance.now() + options.timeoutMs;
  while (!(await options.isReady().catch(() => false))) {
    if (child.exitCode !== null || child.signalCode !== null) {
      failure.reason ||= 'exited';
    } else if (performance.now() > deadline) {
      failure.reason ||= `not ready after ${options.timeoutMs} ms`;
    }
    if (failure.reason !== '') {
      await kill();
      throw await createStartError(options, failure.reason);
    }
    await pause(25);
  }
  child.once('exit', (code, signal) => {
    if (!isKilled) {
      reportCrash(options, `exited while it was in use (${signal ?? code})`);
    }
  });
  return { kill };
}

/** Prints the cause, because tests then fail with refused connections only. Go prints a panic before all goroutine stacks. */
function reportCrash({ program, logFile }: ServerProcessOptions, reason: string): void {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n');
  const panic = lines.findIndex((line) => /^(panic|fatal error):/.test(line));
  const shown = panic < 0 ? lines.slice(-25) : lines.slice(panic, panic + 40);
  process.stderr.write(`${basename(program)}: ${reason}; from ${logFile}:\n${shown.join('\n')}\n`);
}

/** Returns a loopback port that is free now. Another process may take it. */
export async function findFreePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer().on('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
  });
  return promise;
}

async function killAndWait(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) {
    return;
  }
  child.ref();
  child.kill('SIGKILL');
  await waitForExit(child);
}

async function createStartError(options: ServerProcessOptions, reason: string): Promise<ServerStartError> {
  const log = await readFile(options.logFile, 'utf8').catch(() => '');
  const tail = log.trimEnd().split('\n').slice(-25).join('\n');
  const message = `${basename(options.program)}: ${reason}; the end of ${options.logFile}:\n${tail}`;
  // Only the log of the server shows this cause.
  return new ServerStartError(message, tail.includes('address already in use'));
}
