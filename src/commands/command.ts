// The contract of a command, and what the declarations of all commands share.
import { Command, Option } from 'commander';
import { findHostNameProblem } from '../ecr/host-name.ts';
import { productName } from '../labels.ts';
import { isNameOrPattern } from '../util/glob.ts';
import type { SignalSource } from './interrupt.ts';
import type { OutputFormat, TextOutput } from './print-report.ts';

/** What a command gets from the process. */
export interface CommandContext {
  readonly environment: NodeJS.ProcessEnv;
  /** Undefined: empty. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** For the result. */
  readonly stdout: TextOutput;
  /** For progress, and for the log of commands that run once. */
  readonly stderr: TextOutput;
  readonly signals: SignalSource;
}

/** A valid command line. */
export interface ParsedCommand {
  readonly name: string;
  readonly options: object;
  /** Whether it runs until a signal arrives and writes its log to standard output, where an error at its start belongs, too. */
  readonly isService: boolean;
  /**
   * @returns the exit code; undefined for a command that keeps running until a signal arrives
   * @throws {ConfigError} for a configuration that cannot be used, and the errors of the command
   */
  run(context: CommandContext): Promise<number | undefined>;
}

/** One command, as `cli.ts` adds it to the program. `onParsed` receives the valid command line. */
export type CommandDeclaration = (onParsed: (parsed: ParsedCommand) => void) => Command;

export interface CommandDefinition<Options extends object> {
  readonly name: string;
  /** One sentence, without a final period. */
  readonly summary: string;
  /** Command lines that are shown in the help, without the name of the program. */
  readonly examples: readonly string[];
  /** Commands that follow the name of this one, such as `doctor pod`. */
  readonly subcommands?: readonly CommandDeclaration[];
  /** See {@link ParsedCommand.isService}; false by default. */
  readonly isService?: boolean;
  /** Adds the options and arguments. */
  declare(command: Command): Command;
  /** Reads what was given. Reports what cannot be used with `command.error`, which does not return. */
  read(command: Command): Options;
  /** See {@link ParsedCommand.run}. */
  run(options: Options, context: CommandContext): Promise<number | undefined>;
}

/** Creates the declaration of a command from its definition. */
export function defineCommand<Options extends object>(
  definition: CommandDefinition<Options>,
): CommandDeclaration {
  const { name, summary, examples, subcommands = [], isService = false, declare, read, run } = definition;
  return (onParsed) => {
    const command = declare(new Command(name).description(summary)).allowExcessArguments();
    // Without this, the command would take the options of its subcommands.
    command.enablePositionalOptions(subcommands.length > 0);
    for (const declareSubcommand of subcommands) {
      command.addCommand(declareSubcommand(onParsed));
    }
    const lines = examples.map((example) => `  $ ${productName} ${example}`);
    return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`).action(() => {
      checkValues(command);
      checkArguments(command);
      const options = read(command);
      onParsed({ name: commandPath(command), options, isService, run: (context) => run(options, context) });
    });
  };
}

/** The names that run a command, without that of the program, such as `doctor pod`. */
export function commandPath(command: Command): string {
  const { parent } = command;
  return parent === null || parent.parent === null
    ? command.name()
    : `${commandPath(parent)} ${command.name()}`;
}

/** An option that may be repeated: collects its values. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

/** An option with a fixed set of values, which completion proposes. The command itself reports other values. */
export class EnumOption extends Option {
  readonly values: readonly string[];

  constructor(flags: string, description: string, values: readonly string[]) {
    super(flags, description);
    this.values = values;
  }
}

export function addOutputOption(command: Command): Command {
  const description = 'text, or json for one object on standard output';
  return command.addOption(
    new EnumOption('--output <format>', description, ['text', 'json']).default('text'),
  );
}

export function outputFormat(command: Command): OutputFormat {
  const { output }: { output?: string } = command.opts();
  return output === 'text' || output === 'json'
    ? output
    : command.error(`--output takes text or json, not ${quoteBlank(output ?? '')}`);
}

/** An ECR host for messages and examples. */
export const exampleHost = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

/**
 * Reports the first value that cannot be the host of a registry as a usage error. Which hosts are registries depends on the
 * configuration, which is not read yet.
 * @param subject the flag or command that takes the hosts
 */
export function checkEcrHosts(command: Command, subject: string, hosts: readonly string[]): void {
  const invalid = hosts.find((host) => findHostNameProblem(host) !== undefined);
  if (invalid !== undefined) {
    command.error(`${subject} takes a registry host such as ${exampleHost}, not ${quoteBlank(invalid)}`);
  }
}

/** Reports the first value that is neither a name of a Kubernetes object nor a pattern as a usage error. */
export function checkNames(command: Command, flag: string, names: readonly string[]): void {
  const invalid = names.find((name) => !isNameOrPattern(name));
  if (invalid !== undefined) {
    command.error(
      `${flag} takes a name of lowercase letters, digits, "-" and ".", not ${quoteBlank(invalid)}`,
    );
  }
}

/** Makes a value visible that consists of nothing or of spaces. */
export function quoteBlank(value: string): string {
  return value.trim() === '' ? `'${value}'` : value;
}

/** Reports a usage error for an empty value, and for a flag in place of another flag's value. `-` is standard input. */
function checkValues(command: Command): void {
  for (const option of command.options) {
    const values: unknown[] = [command.getOptionValue(option.attributeName())].flat();
    if (values.includes('')) {
      command.error(`${option.long} must not be empty`);
    }
    const flag = values.find((value) => typeof value === 'string' && value.startsWith('-') && value !== '-');
    if (flag !== undefined) {
      command.error(`${option.long} needs a value, not the flag ${flag}`);
    }
  }
}

/** Checked after the values, because a flag that lacks its value takes the next word. */
function checkArguments(command: Command): void {
  if (command.registeredArguments.length === 0 && command.args.length > 0) {
    command.error(
      `${commandPath(command)} takes no arguments, but got ${command.args.map(quoteBlank).join(', ')}`,
    );
  }
}
