import * as v from 'valibot';
import { type Document, parseDocument } from 'yaml';
import { findContradictions } from './contradictions.ts';
import { findUnknownKeys, type Problem, toProblem } from './problems.ts';
import { type Config, configSchema } from './schema.ts';

/** The configuration cannot be used. `problems` holds all that is wrong, not just the first. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'bad-config';
  readonly problems: readonly Problem[];

  /** @param source what the text was read from, for the message */
  constructor(source: string, problems: readonly Problem[]) {
    const lines = problems.map(({ path, text }) => `  ${path === '' ? '' : `${path} `}${text}`);
    super(`${source} cannot be used:\n${lines.join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Reads a configuration from YAML text and fills in the defaults; empty text gives all of them.
 * @param source what the text was read from, for error messages
 * @throws ConfigError with every problem at once
 */
export function readConfig(yaml: string, source: string): Config {
  const document = parseDocument(yaml);
  if (document.errors.length > 0) {
    throw new ConfigError(
      source,
      document.errors.map((error) => ({ path: '', text: `is not YAML: ${error.message.trimEnd()}` })),
    );
  }
  const value = toPlainValue(document, source);
  const result = v.safeParse(configSchema, value);
  const problems = [...findUnknownKeys(configSchema, value), ...(result.issues ?? []).map(toProblem)];
  if (!result.success || problems.length > 0) {
    throw new ConfigError(source, problems);
  }
  const conflicts = findContradictions(result.output);
  if (conflicts.length > 0) {
    throw new ConfigError(source, conflicts);
  }
  return result.output;
}

function toPlainValue(document: Document, source: string): unknown {
  try {
    return document.toJS() ?? {};
  } catch {
    // the only way to fail here: aliases without end
    throw new ConfigError(source, [{ path: '', text: 'refers to its own parts too often (YAML aliases)' }]);
  }
}
