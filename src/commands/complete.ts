// Completes a command line: what the word at the cursor can become, in the format that shells and kubectl read.
import type { Argument, Command, Option } from 'commander';
import { collect, EnumOption } from './command.ts';

/** The hidden command that completion scripts and kubectl call with the words up to the cursor. */
export const completeCommandName = '__complete';

/** What can take the place of the last word. */
interface Completion {
  readonly candidates: readonly Candidate[];
  /** Whether the shell proposes files. */
  readonly isFile: boolean;
}

interface Candidate {
  readonly text: string;
  readonly description?: string;
}

const nothing: Completion = { candidates: [], isFile: false };
const file: Completion = { candidates: [], isFile: true };

/**
 * The reply to a completion script: a line for each candidate, with a tab and its description, and a last line that says whether
 * the shell proposes files (`:0`) or not (`:4`). This is the protocol of Cobra, which kubectl speaks with its plugins:
 * https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
 * @param words the words after the name of the program. The last one is at the cursor, and may be empty
 */
export function completionReply(program: Command, words: readonly string[]): string {
  const { candidates, isFile } = complete(program, joinAssignments(words));
  const lines = candidates.map(({ text, description }) =>
    description === undefined ? text : `${text}\t${description}`,
  );
  return [...lines, isFile ? ':0' : ':4', ''].join('\n');
}

/** bash splits `--flag=value` into three words. */
function joinAssignments(words: readonly string[]): string[] {
  const isAssignment = (index: number) => words[index] === '=' && words[index - 1]?.startsWith('--') === true;
  return words.flatMap((word, index) => {
    if (!isAssignment(index)) {
      return [word];
    }
    return index === words.length - 1 ? [''] : [];
  });
}

/** The words before the cursor, as the program would read them. */
interface Position {
  readonly command: Command;
  /** The flag whose value is at the cursor. */
  readonly pending: Option | undefined;
  /** Flags that were given. */
  readonly given: ReadonlySet<Option>;
  /** Number of arguments that were given. */
  readonly argumentCount: number;
  /** Whether the names of commands follow, which are not run. */
  readonly isHelp: boolean;
}

function complete(program: Command, words: readonly string[]): Completion {
  const current = words.at(-1) ?? '';
  const position = readWords(program, words.slice(0, -1));
  const { command, pending } = position;
  if (pending !== undefined) {
    return valuesOf(pending, current);
  }
  const [flag, value] = splitFlag(current);
  if (value !== undefined) {
    const option = findOption(command, flag);
    return option === undefined ? nothing : addPrefix(`${flag}=`, valuesOf(option, value));
  }
  if (current.startsWith('-')) {
    return matching(flagsOf(position), current);
  }
  const completion = completeArgument(position, current);
  return completion.isFile || completion.candidates.length > 0 || current !== ''
    ? completion
    : matching(flagsOf(position), current);
}

function readWords(program: Command, words: readonly string[]): Position {
  const start = { command: program, pending: undefined, given: new Set<Option>() };
  return words.reduce<Position>(readWord, { ...start, argumentCount: 0, isHelp: false });
}

function readWord(position: Position, word: string): Position {
  const { command, pending, given, argumentCount } = position;
  if (pending !== undefined) {
    return { ...position, pending: undefined };
  }
  const [flag, value] = splitFlag(word);
  const option = findOption(command, flag);
  if (option !== undefined) {
    const needsValue = takesValue(option) && value === undefined;
    return { ...position, given: new Set([...given, option]), pending: needsValue ? option : undefined };
  }
  if (word.startsWith('-')) {
    return position;
  }
  const subcommand = argumentCount === 0 ? command.commands.find((one) => one.name() === word) : undefined;
  if (subcommand !== undefined) {
    return { ...position, command: subcommand };
  }
  return word === 'help' && command.commands.length > 0
    ? { ...position, isHelp: true }
    : { ...position, argumentCount: argumentCount + 1 };
}

/** `--flag=value` as flag and value. A value does not follow a short flag in this form. */
function splitFlag(word: string): [flag: string, value?: string] {
  const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
  return flag === undefined || value === undefined ? [word] : [flag, value];
}

function findOption(command: Command, flag: string): Option | undefined {
  return command.options.find(({ long, short }) => long === flag || short === flag);
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

function valuesOf(option: Option, current: string): Completion {
  if (option instanceof EnumOption) {
    return matching(
      option.values.map((text) => ({ text })),
      current,
    );
  }
  return option.flags.endsWith('<file>') ? file : nothing;
}

function flagsOf({ command, given, isHelp }: Position): Candidate[] {
  const options = isHelp ? [] : command.createHelp().visibleOptions(command);
  return options
    .filter((option) => !given.has(option) || option.parseArg === collect)
    .flatMap(({ long, description }) => (long ? [{ text: long, description }] : []));
}

function completeArgument({ command, argumentCount, isHelp }: Position, current: string): Completion {
  if (argumentCount === 0 && command.commands.length > 0) {
    const commands = command.createHelp().visibleCommands(command);
    const offered = isHelp ? commands.filter((one) => one.name() !== 'help') : commands;
    return matching(
      offered.map((one) => ({ text: one.name(), description: one.description() })),
      current,
    );
  }
  const argument: Argument | undefined = command.registeredArguments[argumentCount];
  return matching(
    (argument?.argChoices ?? []).map((text) => ({ text })),
    current,
  );
}

function matching(candidates: readonly Candidate[], current: string): Completion {
  return { candidates: candidates.filter(({ text }) => text.startsWith(current)), isFile: false };
}

function addPrefix(prefix: string, { candidates, isFile }: Completion): Completion {
  return { candidates: candidates.map(({ text }) => ({ text: `${prefix}${text}` })), isFile };
}
