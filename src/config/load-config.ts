// Parses and validates the configuration, and reports every problem at once.
import * as v from 'valibot';
import { type Document, parseDocument, type YAMLParseError } from 'yaml';
import { aliasAdvice, findUndefinedAlias } from '../util/yaml-aliases.ts';
import { findContradictions } from './contradictions.ts';
import { findUnknownKeys, formatProblem, type Problem, toProblem } from './problems.ts';
import { type Config, configSchema } from './schema.ts';

/** The configuration is invalid. `problems` contains all problems, not only the first. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'invalid-config';
  readonly problems: readonly Problem[];

  /** @param source the file or other source of the configuration, for the message */
  constructor(source: string, problems: readonly Problem[]) {
    const lines = problems.map((problem) => `  ${formatProblem(problem)}`);
    super(`${source} cannot be used:\n${lines.join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Parses a configuration in YAML and adds the defaults. An empty string results in all defaults.
 * @param source the file or other source of the configuration, for error messages
 * @throws {ConfigError} with every problem
 */
export function readConfig(yaml: string, source: string): Config {
  const document = parseDocument(yaml);
  if (document.errors.length > 0) {
    throw new ConfigError(
      source,
      document.errors
        .slice(0, maxSyntaxProblems)
        .map((error) => ({ path: '', text: formatSyntaxProblem(error) })),
    );
  }
  const value = toPlainValue(document, source);
  const result = v.safeParse(configSchema, value);
  const problems = [...findUnknownKeys(configSchema, value), ...(result.issues ?? []).map(toProblem)];
  if (!result.success || problems.length > 0) {
    throw new ConfigError(source, problems);
  }
  const contradictions = findContradictions(result.output);
  if (contradictions.length > 0) {
    throw new ConfigError(source, contradictions);
  }
  return result.output;
}

/** The configuration in which all settings have their defaults. */
export function readDefaultConfig(): Config {
  return readConfig('', 'the default configuration');
}

/** Problems in the syntax of YAML that are reported; the others mostly follow from the first ones. */
const maxSyntaxProblems = 10;

/** Leaves out the excerpt of the file that follows the first line of the message. */
function formatSyntaxProblem({ code, message }: YAMLParseError): string {
  const [summary = ''] = message.split(':\n', 1);
  const place = / at line \d+, column \d+$/.exec(summary)?.[0] ?? '';
  return `is not valid YAML: ${code === 'MULTIPLE_DOCS' ? `more than one document${place}` : summary}`;
}

function toPlainValue(document: Document, source: string): unknown {
  try {
    return document.toJS() ?? {};
  } catch {
    const alias = findUndefinedAlias(document);
    const text =
      alias === undefined
        ? 'has too many YAML aliases'
        : `has the YAML alias *${alias.slice(0, 100)}, which is not defined; ${aliasAdvice}`;
    throw new ConfigError(source, [{ path: '', text }]);
  }
}
