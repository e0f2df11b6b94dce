#!/usr/bin/env node
// Entry point: parses the command line, runs one command, and is the only reader of process.env.
import { parseCommandLine } from './cli.ts';
import { ConfigError } from './config/load-config.ts';
import { formatProblem } from './config/problems.ts';
import { productName } from './labels.ts';
import { createStandardLog } from './telemetry/log.ts';
import { serializeError } from './telemetry/log-fields.ts';
import { toPrintable } from './telemetry/redact.ts';

/** Reports the error that ends the process. */
let reportError: (error: unknown) => void = printError;

function printError(error: unknown): void {
  const { message, code, stack } = serializeError(error);
  process.stderr.write(
    toPrintable(
      `${productName}: ${message}\n${code === undefined && stack !== undefined ? `${stack}\n` : ''}`,
    ),
  );
}

/** The log of a service is the only place where the operator looks, and its reader expects JSON. */
function logError(error: unknown): void {
  const problems = error instanceof ConfigError ? error.problems.map(formatProblem) : undefined;
  createStandardLog('fatal').log.fatal({ problems, err: error }, 'failed to start');
}

async function main(args: readonly string[]): Promise<void> {
  const command = parseCommandLine(args);
  if ('exitCode' in command) {
    process.stdout.write(command.stdout);
    process.stderr.write(command.stderr);
    process.exitCode = command.exitCode;
    return;
  }
  const { env: environment, stdout, stderr } = process;
  reportError = command.isService ? logError : printError;
  const exitCode = await command.run({
    ...{ environment, stdout, stderr, signals: process },
    // Opened only by a command that reads it.
    get stdin() {
      return process.stdin;
    },
  });
  if (exitCode === undefined) {
    return;
  }
  process.exitCode = exitCode;
  // A call to AWS may still be in flight after an interrupt, or a program of the kubeconfig may wait. They must not keep the process.
  stdout.write('', () => process.exit());
}

// A full disk or a closed pipe at standard error changes neither what a command does nor its exit code.
process.stderr.on('error', () => undefined);

// A reader that has read enough, such as `head`, changes nothing either, but a result that is lost is a failure.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code !== 'EPIPE') {
    process.stderr.write(`${productName}: cannot write to standard output (${code})\n`);
    process.once('exit', () => {
      process.exitCode ||= 1;
    });
  }
});

main(process.argv.slice(2)).catch((error: unknown) => {
  reportError(error);
  process.exit(error instanceof ConfigError ? 2 : 1);
});
