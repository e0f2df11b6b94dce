// Kills child processes when this process ends.
import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Makes sure that a child does not outlive this process, however it ends. A shell waits on a pipe from this process, which the
 * kernel closes even after SIGKILL; the shell then kills the child.
 * @param folder a folder of the child, which is removed in that case
 */
export function killOnExit(child: ChildProcess, folder = ''): void {
  const script = 'read _ || { kill -9 "$0"; test -z "$1" || rm -rf "$1"; }';
  const guard = spawn('/bin/sh', ['-c', script, String(child.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // Ctrl-C in the terminal must not kill the guard before it has done its work.
  });
  guard.on('error', () => child.kill('SIGKILL'));
  guard.stdin.on('error', () => undefined);
  child.once('exit', () => guard.stdin.end('exited\n'));
  guard.unref();
  // The pipe stays open while this process runs, and does not keep it running.
  if ('unref' in guard.stdin && typeof guard.stdin.unref === 'function') {
    guard.stdin.unref();
  }
}

/** Resolves when a child process has ended. */
export function waitForExit(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) {
    return Promise.resolve();
  }
  return new Promise((resolve) => child.once('exit', () => resolve()));
}
