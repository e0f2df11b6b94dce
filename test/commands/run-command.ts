// Runs commands that exit when their work is done, in this process, and returns their output and exit code.
import { EventEmitter } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { parseCommandLine } from '../../src/cli.ts';
import type { CommandContext, ParsedCommand } from '../../src/commands/command.ts';
import type { SignalSource } from '../../src/commands/interrupt.ts';

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The signals of a process that does not exist. `exits` holds the exit codes of the attempts to end it. */
export class FakeSignals extends EventEmitter implements SignalSource {
  readonly exits: number[] = [];

  exit(code: number): void {
    this.exits.push(code);
  }
}

/** Parses a valid command line. */
export function parseValid(args: readonly string[]): ParsedCommand {
  const command = parseCommandLine(args);
  if ('exitCode' in command) {
    throw new Error(command.stderr);
  }
  return command;
}

/** Runs a command that exits when its work is done, in this process. By default, its environment is empty. */
export async function runCommand(
  args: readonly string[],
  context: Partial<Omit<CommandContext, 'stdout' | 'stderr'>> = {},
): Promise<Ended> {
  const written = { stdout: '', stderr: '' };
  const code = await parseValid(args).run({
    environment: {},
    signals: new FakeSignals(),
    ...context,
    stdout: { write: (text) => (written.stdout += text) },
    stderr: { write: (text) => (written.stderr += text) },
  });
  if (code === undefined) {
    throw new Error(`${args[0]} keeps running`);
  }
  return { code, ...written };
}

/** Runs a command in this process, as the command line does, with a configuration file. */
export async function runOnce(
  args: readonly string[],
  kubeconfigPath: string,
  settings: Record<string, unknown> = {},
  signals: SignalSource = new FakeSignals(),
): Promise<Ended> {
  const folder = await mkdtemp(join(tmpdir(), 'command-'));
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    stringify({ ...settings, kubernetes: { ...Object(settings['kubernetes']), kubeconfig: kubeconfigPath } }),
  );
  try {
    return await runCommand([...args, '--config', file], { environment: process.env, signals });
  } finally {
    await rm(folder, { recursive: true });
  }
}
