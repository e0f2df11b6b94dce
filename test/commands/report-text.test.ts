// Tests the reports that sync and uninstall print: text, JSON, progress and exit code.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printReport, progressOn } from '../../src/commands/print-report.ts';
import { syncText, uninstallText } from '../../src/commands/report-text.ts';
import type { NamespaceResult, Removal } from '../../src/commands/results.ts';

const good: NamespaceResult = {
  namespace: 'shop',
  secret: 'updated',
  serviceAccounts: [
    { name: 'default', reference: 'added' },
    { name: 'ci', reference: 'unchanged' },
  ],
  failures: [],
};
const bad: NamespaceResult = {
  namespace: 'a-long-name',
  secret: 'failed',
  serviceAccounts: [],
  failures: [
    { what: 'host', code: 'throttled', text: 'throttled' },
    { what: 'ServiceAccount ci', code: 'not-found', text: 'there is no such ServiceAccount' },
  ],
};

function printed<T>(print: (output: { isTTY?: boolean; write(text: string): void }) => T, isTTY?: boolean) {
  const texts: string[] = [];
  const output = { ...(isTTY !== undefined && { isTTY }), write: (text: string) => void texts.push(text) };
  return { result: print(output), text: texts.join('') };
}

describe('the report of sync', () => {
  it('is one line if nothing failed', () => {
    const text = syncText({ namespaces: [good, { ...good, secret: 'unchanged' }], failed: 0 });
    assert.equal(text, '2 namespaces: 1 Secret updated, 1 unchanged, 2 references added\n');
    assert.equal(syncText({ namespaces: [], failed: 0 }), 'no namespace is selected\n');
  });

  it('has a table of failures below that line', () => {
    assert.equal(
      syncText({ namespaces: [good, bad], failed: 1 }),
      [
        '2 namespaces: 1 Secret updated, 0 unchanged, 1 reference added, 1 namespace failed',
        '',
        'NAMESPACE     WHAT                WHY',
        'a-long-name   host                throttled',
        'a-long-name   ServiceAccount ci   there is no such ServiceAccount',
        '',
      ].join('\n'),
    );
  });

  it('has one row for each failure, whatever the text of the failure contains', () => {
    const failure = { what: 'host\tx', code: 'network', text: 'failed\nshop   host   removed' };
    const text = syncText({ namespaces: [{ ...bad, failures: [failure] }], failed: 1 });
    assert.deepEqual(text.split('\n').slice(3), ['a-long-name   host x   failed shop host removed', '']);
  });

  it('is one JSON object with --output json, and the exit code shows whether anything failed', () => {
    const one = { namespaces: [good], failed: 0 };
    const { text, result } = printed((output) => printReport(one, syncText, 'json', output));
    assert.deepEqual(JSON.parse(text), one);
    assert.equal(result, 0);
    assert.equal(
      printed((output) => printReport({ namespaces: [bad], failed: 1 }, syncText, 'text', output)).result,
      1,
    );
  });

  it('shows progress on one line of a terminal that is erased at the end, and no progress in a file', () => {
    const progress = (output: { isTTY?: boolean; write(text: string): void }) => {
      const show = progressOn(output);
      show(1, 2, 1);
      show(2, 2, 1);
    };
    assert.equal(printed(progress, true).text, '\r\u001b[2K1 of 2 namespaces done, 1 failed\r\u001b[2K');
    assert.equal(printed(progress).text, '');
  });
});

describe('the report of uninstall', () => {
  const secret: Removal = { kind: 'Secret', namespace: 'shop', name: 'x', outcome: 'would-remove' };
  const reference: Removal = { ...secret, kind: 'ServiceAccount', name: 'default' };
  const text = 'Secret cart/x is not managed by ecr-pull-secrets';
  const unmanaged: Removal = {
    ...secret,
    namespace: 'cart',
    outcome: 'skipped',
    failure: { what: 'Secret x', code: 'unmanaged-secret', text },
  };

  it('lists what would be removed, and what is skipped and why', () => {
    assert.equal(
      uninstallText({ dryRun: true, removals: [reference, secret, unmanaged], failed: 0 }),
      [
        'NAMESPACE   WHAT                                  OUTCOME',
        'shop        reference of ServiceAccount default   would be removed',
        'shop        Secret x                              would be removed',
        'cart        Secret x                              skipped: not managed by ecr-pull-secrets',
        '',
        '2 would be removed, 1 skipped',
        text,
        '',
      ].join('\n'),
    );
    assert.equal(
      uninstallText({ dryRun: false, removals: [], failed: 0 }),
      'nothing to remove: no Secret and no reference is managed by ecr-pull-secrets\n',
    );
  });

  it('returns exit code 1 if an object could not be removed', () => {
    const failure = { what: 'Secret x', code: 'forbidden', text: 'refused' };
    const result = {
      dryRun: false,
      removals: [{ ...secret, outcome: 'failed', failure }],
      failed: 1,
    } as const;
    const { text: shown, result: code } = printed((output) =>
      printReport(result, uninstallText, 'text', output),
    );
    assert.equal(code, 1);
    assert.match(shown, /0 removed, 1 failed\nrefused\n$/);
    assert.equal(
      printed((output) => printReport({ ...result, removals: [], failed: 0 }, uninstallText, 'json', output))
        .result,
      0,
    );
  });
});
