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

/** The catalog by section of the page. */
export type LogSections = Readonly<Record<string, LogCatalog>>;

export function readSections(): LogSections {
  return parse(readFileSync(join(import.meta.dirname, 'log-messages.yaml'), 'utf8'));
}

/** The entries of all sections. */
export function joinSections(sections: LogSections): LogCatalog {
  return Object.assign({}, ...Object.values(sections));
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
    return [
      `add the message of ${places} to a section, and replace TODO by what it means and what to do:\n${draft}`,
    ];
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

export function logsPage(calls: readonly LogCall[], sections: LogSections): string {
  const byMessage = groupByMessage(calls);
  const tables = Object.entries(sections).map(([title, catalog]) => {
    const rows = Object.entries(catalog).map(([message, { fields = [], meaning, action }]) => {
      const own = byMessage.get(message) ?? [];
      const allFields = new Set([...own.flatMap((call) => call.fields), ...fields]);
      return [
        `\`${message}\``,
        [mergeLevels(own)].flat().join(', '),
        [...allFields].map((field) => `\`${field}\``).join(', '),
        meaning,
        action,
      ];
    });
    return `## ${title}\n\n${formatMarkdownTable([['message', 'level', 'fields', 'meaning', 'what to do'], ...rows])}`;
  });
  return [
    '# Log messages\n',
    `<!-- Generated from the source and ${logMessagesFile} by \`npm run docs:logs\`. -->\n`,
    'This page explains every log message. A line is a JSON object with `level`, `time`, the fields, and the message as `msg`. A',
    'message never varies with its fields, so that you can search for its text. `err` contains the name, code and message of an',
    'error. Values of `outcome`, `reason` and `action`: [outcomes and reasons](reasons.md).\n',
    tables.join('\n'),
  ].join('\n');
}

if (import.meta.main) {
  const [calls, sections] = [findLogCalls(), readSections()];
  for (const problem of findCatalogProblems(calls, joinSections(sections))) {
    process.stderr.write(`${logMessagesFile}: ${problem}\n`);
    process.exitCode = 1;
  }
  await writeFile(logsPageFile, logsPage(calls, sections));
}
