// Builds the command line from the commands, and parses it. One line for each command.
import { Command, CommanderError } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { certificatesCommand } from './commands/certificates.ts';
import { type CommandDeclaration, commandPath, type ParsedCommand } from './commands/command.ts';
import { completeCommandName, completionReply } from './commands/complete.ts';
import { completionCommand } from './commands/completion.ts';
import { doctorCommand } from './commands/doctor.ts';
import { explainCommand } from './commands/explain.ts';
import { removeHostCommand } from './commands/remove-host.ts';
import { serveCommand } from './commands/serve.ts';
import { statusCommand } from './commands/status.ts';
import { syncCommand } from './commands/sync.ts';
import { uninstallCommand } from './commands/uninstall.ts';
import { productName } from './labels.ts';
import { toPrintable } from './telemetry/redact.ts';

const commands: readonly CommandDeclaration[] = [
  serveCommand,
  certificatesCommand,
  syncCommand,
  uninstallCommand,
  removeHostCommand,
  doctorCommand,
  statusCommand,
  explainCommand,
  completionCommand,
];

/** A command line that runs no command: help, the version, or a usage error. */
export interface ImmediateExit {
  readonly exitCode: 0 | 2;
  readonly stdout: string;
  readonly stderr: string;
}

/** Parses the arguments that follow the name of the program. Never throws for what a user typed. */
export function parseCommandLine(args: readonly string[]): ParsedCommand | ImmediateExit {
  let parsed: ParsedCommand | undefined;
  let stdout = '';
  const program = buildProgram(
    (command) => {
      parsed = command;
    },
    (text) => {
      stdout += text;
    },
  );
  if (args[0] === completeCommandName) {
    return { exitCode: 0, stdout: completionReply(program, args.slice(1)), stderr: '' };
  }
  try {
    program.parse(args, { from: 'user' });
  } catch (error) {
    if (error instanceof UsageError) {
      return { exitCode: 2, stdout: '', stderr: error.message };
    }
    if (error instanceof CommanderError) {
      return { exitCode: 0, stdout, stderr: '' };
    }
    throw error;
  }
  return parsed ?? { exitCode: 0, stdout, stderr: '' };
}

/**
 * The program with all commands. @param write receives help and version
 * @internal exported for its tests
 */
export function buildProgram(
  onParsed: (command: ParsedCommand) => void,
  write: (text: string) => void,
): Command {
  const program = configure(new Command(productName), write)
    .version(packageJson.version, '-V, --version', 'show the version')
    // Without this, options that follow the name of a subcommand would be taken for those of its parent.
    .enablePositionalOptions()
    .helpCommand('help [command]', 'Show the help of a command')
    .description('Gives every pod with Amazon ECR images a pull Secret with a valid token.')
    .addHelpText(
      'after',
      `
AWS credentials, regions and endpoints come from AWS's own environment variables, the cluster from KUBECONFIG or from
the pod's ServiceAccount.

Exit codes: 0 success, 1 failure, 2 invalid flags, configuration or environment variables, 130 interrupted by SIGINT,
143 interrupted by SIGTERM.`,
    );
  for (const declare of commands) {
    program.addCommand(configure(declare(onParsed), write));
  }
  return program;
}

class UsageError extends Error {
  override readonly name = 'UsageError';
}

function configure(command: Command, write: (text: string) => void): Command {
  for (const subcommand of command.commands) {
    configure(subcommand, write);
  }
  return command
    .helpOption('-h, --help', 'show this help')
    .configureOutput({
      writeOut: write,
      // errors are reported by the exit callback
      writeErr: () => undefined,
      getOutHelpWidth: () => helpWidth,
      getErrHelpWidth: () => helpWidth,
    })
    .exitOverride((error) => {
      throw error.exitCode === 0 ? error : new UsageError(usageMessage(error, command));
    });
}

const helpWidth = 110;

/** One line: what is wrong, and which help to read. */
function usageMessage(error: CommanderError, command: Command): string {
  const path = command.parent === null ? productName : `${productName} ${commandPath(command)}`;
  return `${productName}: ${oneLine(problemOf(error, command))}; see '${path} --help'\n`;
}

function problemOf(error: CommanderError, { args, commands }: Command): string {
  if (error.code === 'commander.help') {
    return args[0] === 'help' ? `unknown command '${args[1]}'` : 'no command given';
  }
  const [, flag] = /^error: unknown option '([^']+)'/.exec(error.message) ?? [];
  const isFlagOf = ({ options }: Command) => options.some(({ long }) => long === flag);
  if (flag !== undefined && commands.some(isFlagOf)) {
    return `${flag} belongs after the command`;
  }
  return error.message
    .replace(/^error: /, '')
    .replace(/^(command-argument .+)\.$/, '$1')
    .replace(/\n(\(Did you mean [\w ,-]+\?\))$/, ' $1');
}

/** What a user typed can neither control the terminal nor begin a line. */
function oneLine(text: string): string {
  return toPrintable(text).replace(/[\t\n]/g, (character) => (character === '\n' ? '<U+000A>' : '<U+0009>'));
}
