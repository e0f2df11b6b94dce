// Tests that every log message is a literal, is explained in the catalog, and appears in docs/reference/logs.md.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { configSchema } from '../../src/config/schema.ts';
import { findLogCalls, findLogCallsIn, type LogCall } from './log-calls.ts';
import {
  findCatalogProblems,
  joinSections,
  logMessagesFile,
  logsPage,
  logsPageFile,
  readSections,
} from './logs-page.ts';

describe('log messages', () => {
  const calls = findLogCalls();

  it('are string literals in lower case without a final period', () => {
    assert.ok(calls.length > 40, `only ${calls.length} calls were found`);
    const isWellFormed = ({ message }: LogCall) => message !== undefined && /^[^A-Z].*[^.]$/.test(message);
    const problems = calls
      .filter((call) => !isWellFormed(call))
      .map(({ place, message }) => `${place}: ${message ?? 'the message is not a string literal'}`);
    assert.deepEqual(problems, []);
  });

  it(`are explained in ${logMessagesFile}, at their level`, () => {
    const problems = findCatalogProblems(calls, joinSections(readSections()));
    assert.ok(problems.length === 0, `${logMessagesFile}:\n\n${problems.join('\n')}`);
  });

  it('are the ones of docs/reference/logs.md (npm run docs:logs)', async () => {
    const isCurrent = (await readFile(logsPageFile, 'utf8')) === logsPage(calls, readSections());
    assert.ok(isCurrent, 'docs/reference/logs.md is out of date: run npm run docs:logs');
  });

  it('have explanations that name only their fields and settings', () => {
    const problems = Object.entries(joinSections(readSections())).flatMap(([message, entry]) => {
      const names = `${entry.meaning} ${entry.action}`.matchAll(/`([a-z]+[A-Z][A-Za-z]*)`/g);
      const own = new Set([
        ...(entry.fields ?? []),
        ...calls.filter((call) => call.message === message).flatMap(({ fields }) => fields),
      ]);
      return [...names].flatMap(([, name = '']) =>
        own.has(name) || Object.hasOwn(configSchema.entries, name) ? [] : `${message}: ${name}`,
      );
    });
    assert.deepEqual(problems, []);
  });
});

describe('the scanner of log calls', () => {
  const scan = (source: string) => findLogCallsIn('src/kube/example.ts', source);

  it('finds level, message, fields and line of each call', () => {
    const source = `// a comment with é
      class Example {
        run() {
          this.#dependencies.log.warn({ namespace, err: error, ...(late && { seconds }) }, 'it failed');
          const level = late ? 'warn' : 'debug';
          log[level](describe(pod), late ? 'late' : 'in time');
        }
      }
      if (err === undefined) log?.info('done');
      console.info('not a log'); blog.info('not a log either');`;
    const found = { hasOtherFields: false };
    const computed = { ...found, place: 'src/kube/example.ts:6', levels: ['debug', 'warn'], fields: [] };
    assert.deepEqual(scan(source), [
      {
        ...found,
        place: 'src/kube/example.ts:4',
        levels: ['warn'],
        message: 'it failed',
        fields: ['namespace', 'err', 'seconds'],
      },
      { ...computed, hasOtherFields: true, message: 'late' },
      { ...computed, hasOtherFields: true, message: 'in time' },
      { ...found, place: 'src/kube/example.ts:9', levels: ['info'], message: 'done', fields: [] },
    ]);
  });

  it('finds messages that are no literals', () => {
    const source = "log.warn({ host }, `no token`);\nlog.warn(text);\nlog.warn({ a }, 'a' + b);";
    assert.deepEqual(
      scan(source).map(({ message }) => message),
      [undefined, undefined, undefined],
    );
  });
});

describe('the catalog of log messages', () => {
  const calls = findLogCallsIn(
    'src/x/y.ts',
    "log.warn({ ...fields }, 'it failed: badly'); log.info('done');",
  );
  const texts = { meaning: 'It failed.', action: 'Nothing.' };
  const done = { level: 'info', ...texts };

  it('shows what to add, to change and to remove', () => {
    assert.deepEqual(
      findCatalogProblems(calls, { 'it failed: badly': { level: 'info', ...texts }, old: done }),
      [
        'set the level of "it failed: badly" to warn as in src/x/y.ts:1',
        'list the fields of "it failed: badly" that src/x/y.ts:1 adds at run time as `fields`',
        'add the message of src/x/y.ts:1 to a section, and replace TODO by what it means and what to do:\ndone:\n  level: info\n  meaning: TODO\n  action: TODO\n',
        'remove "old": src does not log it any more',
      ],
    );
  });

  it('has a sentence for each text', () => {
    const entry = { level: 'warn', fields: ['x'], meaning: 'TODO', action: 'Nothing.' };
    assert.deepEqual(findCatalogProblems(calls, { 'it failed: badly': entry, done }), [
      'explain "it failed: badly": meaning and action are sentences',
    ]);
  });
});
