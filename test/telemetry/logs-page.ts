// Generates docs/reference/logs.md from the calls of the log in src and log-messages.yaml: npm run docs:logs
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { formatMarkdownTable } from '../support/markdown-table.ts';
import { findLogCalls, type LogCall } from './log-calls.ts';

export const logsPageFile = join(import.meta.dirname, '../../docs/reference/logs.md');

export const logMessagesFile = 'test/telemetry/log-messages.yaml';

export interface MessageEntry {
  readonly level: string | readonly string[];
  /** Fields that only show at run time. */
  readonly fields?: readonly string[];
  readonly meaning: string;
  readonly action: string;
}

export type LogCatalog = Readonly<Record<string, MessageEntry>>;

export function readCatalog(): LogCatalog {
  return parse(readFileSync(join(import.meta.dirname, 'log-messages.yaml'), 'utf8'));
}

/** What the catalog lacks, holds in vain, or states differently from the calls; each with what to do. */
export function findCatalogProblems(calls: readonly LogCall[], catalog: LogCatalog): string[] {
  const byMessage = groupByMessage(calls);
  const incomplete = Object.keys(catalog).flatMap((message) => {
    const { level, meaning, action } = catalog[message] ?? {};
    const texts = [meaning, action].every((text) => typeof text === 'string' && /^\S.*[.)]$/.test(text));
    return level !== undefined && texts ? [] : [`explain "${message}": meaning and action are sentences`];
  });
  const obsolete = Object.keys(catalog)
    .filter((message) => !byMessage.has(message))
    .map((message) => `remove "${message}": src does not log it any more`);
  return [
    ...[...byMessage].flatMap(([message, own]) => checkEntry(message, own, catalog[message])),
    ...obsolete,
    ...incomplete,
  ];
}

function checkEntry(message: string, calls: readonly LogCall[], entry: MessageEntry | undefined): string[] {
  const places = calls.map(({ place }) => place).join(', ');
  const level = mergeLevels(calls);
  if (entry === undefined) {
    const draft = stringify({ [message]: { level, meaning: 'TODO', action: 'TODO' } }, { lineWidth: 0 });
    return [`add the message of ${places}, and replace TODO by what it means and what to do:\n${draft}`];
  }
  const problems: string[] = [];
  if ([entry.level].flat().join() !== [level].flat().join()) {
    problems.push(`set the level of "${message}" to ${[level].flat().join(', ')} as in ${places}`);
  }
  if (calls.some(({ hasOtherFields }) => hasOtherFields) && entry.fields === undefined) {
    problems.push(`list the fields of "${message}" that ${places} adds at run time as \`fields\``);
  }
  return problems;
}

function mergeLevels(calls: readonly LogCall[]): string | string[] {
  const levels = [...new Set(calls.flatMap((call) => call.levels))];
  return levels.length === 1 && levels[0] !== undefined ? levels[0] : levels;
}

function groupByMessage(calls: readonly LogCall[]): Map<string, LogCall[]> {
  const literal = calls.filter(({ message }) => message !== undefined);
  return Map.groupBy(literal, ({ message }) => message ?? '');
}

export function logsPage(calls: readonly LogCall[], catalog: LogCatalog): string {
  const rows = [...groupByMessage(calls)].map(([message, own]) => ({
    packages: [...new Set(own.map((call) => call.package))],
    message,
    level: [mergeLevels(own)].flat().join(', '),
    fields: [...new Set([...own.flatMap(({ fields }) => fields), ...(catalog[message]?.fields ?? [])])],
  }));
  const packages = [...new Set(rows.flatMap((row) => row.packages.slice(0, 1)))].toSorted();
  const sections = packages.map((name) => {
    const own = rows.filter((row) => row.packages[0] === name);
    const table = formatMarkdownTable([
      ['message', 'level', 'fields', 'meaning', 'what to do'],
      ...own
        .toSorted((a, b) => (a.message < b.message ? -1 : 1))
        .map(({ message, level, fields }) => [
          `\`${message}\``,
          level,
          fields.map((field) => `\`${field}\``).join(', '),
          catalog[message]?.meaning ?? '',
          catalog[message]?.action ?? '',
        ]),
    ]);
    return `## ${name}\n\n${table}`;
  });
  return [
    '# Log messages\n',
    `<!-- Generated from the source and ${logMessagesFile} by \`npm run docs:logs\`. -->\n`,
    'All messages, by the package of the source that logs them. A line is a JSON object with `level`, `time`, the fields, and the',
    'message as `msg`. A message never varies with its fields, so that you can search for its text. `err` holds the name, code and',
    'message of an error. Values of `outcome`, `reason` and `action`: [outcomes and reasons](reasons.md).\n',
    sections.join('\n'),
  ].join('\n');
}

if (import.meta.main) {
  const [calls, catalog] = [findLogCalls(), readCatalog()];
  for (const problem of findCatalogProblems(calls, catalog)) {
    process.stderr.write(`${logMessagesFile}: ${problem}\n`);
    process.exitCode = 1;
  }
  await writeFile(logsPageFile, logsPage(calls, catalog));
}
