// Runs doctor as a child process, and reads the results from its JSON.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { CheckResult } from '../../src/diagnosis/check.ts';
import { isObject } from '../../src/util/json.ts';
import { type ProcessOutput, runProgram } from '../support/run-program.ts';

/** How one run ended. */
export interface DoctorOutput {
  readonly code: number;
  /** The checks of all groups, in their order. */
  readonly checks: readonly CheckResult[];
  /** Both streams. */
  readonly output: string;
  readonly durationMs: number;
}

/** What the child process of doctor gets instead of, or in addition to, what a healthy one gets. */
export interface DoctorChanges {
  /** Environment variables; undefined removes one. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Settings that replace those of the installed configuration, by their top-level key. Only from inside. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The URL of a module that the process loads first, to change what it sees of this machine. */
  readonly preload?: string;
}

export interface DoctorProcessOptions {
  /** The bundled program. */
  readonly program: string;
  /** The command and its flags, without `--output` and `--config`. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The content of the file for `--config`; undefined: no such flag. */
  readonly config: Readonly<Record<string, unknown>> | undefined;
  /** Where the file is written. */
  readonly folder: string;
  /** A module that the process loads first. */
  readonly preload?: string | undefined;
}

/** Runs a command of doctor. Rejects if its standard output is not JSON. */
export async function spawnDoctor(options: DoctorProcessOptions): Promise<DoctorOutput> {
  const started = performance.now();
  const { code, stdout, stderr } = await spawnCommand({ ...options, args: [...options.args, ...jsonFlags] });
  const durationMs = performance.now() - started;
  return { code, checks: findChecks(parse(stdout, stderr)), output: stdout + stderr, durationMs };
}

const jsonFlags = ['--output', 'json'];
let runs = 0;

/** Runs a command that examines an installation. */
export async function spawnCommand(options: DoctorProcessOptions): Promise<ProcessOutput> {
  const { program, args, environment, config, folder, preload } = options;
  const flags: string[] = [];
  if (config !== undefined) {
    const file = join(folder, `doctor-${runs++}.yaml`);
    await writeFile(file, stringify(config));
    flags.push('--config', file);
  }
  const nodeFlags = preload === undefined ? [] : ['--import', preload];
  const env = { PATH: process.env['PATH'], ...environment };
  const all = [...nodeFlags, program, ...args, ...flags];
  return await runProgram(process.execPath, all, { env, timeout: 60_000 });
}

function parse(stdout: string, stderr: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch (cause) {
    throw new Error(`doctor did not print JSON:\n${stdout}${stderr}`, { cause });
  }
}

/** All results at any depth, in the order of the document. */
function findChecks(value: unknown): CheckResult[] {
  if (Array.isArray(value)) {
    return value.flatMap(findChecks);
  }
  if (!isObject(value)) {
    return [];
  }
  return typeof value['check'] === 'string' && typeof value['outcome'] === 'string'
    ? [value as unknown as CheckResult]
    : Object.values(value).flatMap(findChecks);
}
