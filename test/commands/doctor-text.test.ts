// Tests the text of doctor: marks, colours, notes, and values that try to control the terminal.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { groupText, summaryText } from '../../src/commands/doctor-text.ts';
import { terminalStyle } from '../../src/commands/terminal-style.ts';
import type { CheckResult } from '../../src/diagnosis/check.ts';

const plain = { hasColor: false, isUnicode: false };
const group = (...checks: CheckResult[]) => ({ name: 'webhook', checks }) as const;
const failed: CheckResult = {
  check: 'webhook-endpoints',
  outcome: 'failed',
  summary: 'Service a/b has no ready endpoints',
  meaning: 'New pods get no reference',
  remedy: 'Look at the pods',
  page: 'reference/chart.md#modes',
  details: Array.from({ length: 12 }, (_, index) => `detail ${index}`),
};

describe('the text of doctor', () => {
  it('explains what is not ok, and shows a bounded number of details', () => {
    const ok: CheckResult = { check: 'a', outcome: 'ok', summary: 'fine', remedy: 'none', page: 'x.md' };
    const lines = groupText(group(ok, failed), plain).split('\n');
    assert.deepEqual(lines.slice(0, 5), [
      'webhook',
      '-------',
      '[ok] fine',
      '[failed] Service a/b has no ready endpoints',
      '    - detail 0',
    ]);
    assert.deepEqual(lines.slice(14), [
      '    and 2 more',
      '    New pods get no reference',
      '    Look at the pods',
      '    see https://github.com/ecr-pull-secrets/ecr-pull-secrets/blob/main/docs/reference/chart.md#modes',
      '',
      '',
    ]);
  });

  it('uses signs and colours on a terminal', () => {
    const text = groupText(group(failed), { hasColor: true, isUnicode: true });
    const start = '\u001b[1mwebhook\u001b[0m\n-------\n\u001b[31m×\u001b[0m Service';
    assert.equal(text.slice(0, start.length), start);
  });

  it('shows checks that are skipped for the same reason in one line', () => {
    const skipped = (check: string, summary: string): CheckResult => ({ check, outcome: 'skipped', summary });
    const text = groupText(group(skipped('a', 'x'), skipped('b', 'y'), skipped('c', 'x')), plain);
    assert.equal(text, 'webhook\n-------\n[skipped] a, c: x\n[skipped] y\n\n');
  });

  it('names a skipped check whose summary says only why it is not checked', () => {
    const skipped: CheckResult = { check: 'a', outcome: 'skipped', summary: 'not checked, because x' };
    assert.match(groupText(group(skipped), plain), /^\[skipped\] a: not checked, because x$/m);
  });

  it('lets no value control the terminal or begin a line', () => {
    const hostile = '\u001b]0;x\u0007\n[ok] forged\u202e';
    const text = groupText(group({ ...failed, summary: hostile, details: [hostile] }), plain);
    assert.match(text, /^\[failed\] <U\+001B>\]0;x<U\+0007> \[ok\] forged<U\+202E>$/m);
    assert.doesNotMatch(text, /^\[ok\]/m);
  });

  it('ends with the numbers of outcomes and the first failure', () => {
    assert.equal(
      summaryText([group(failed)], 'SIGINT'),
      '0 ok, 0 warnings, 1 failed, 0 skipped\nfirst failed check: webhook-endpoints: Service a/b has no ready endpoints\n' +
        'interrupted by SIGINT; the checks are not complete\n',
    );
  });
});

describe('the style of a terminal', () => {
  const style = (isTTY: boolean, environment: NodeJS.ProcessEnv) =>
    terminalStyle({ isTTY, write: () => undefined }, environment);

  it('depends on the output, NO_COLOR, FORCE_COLOR and the character set', () => {
    assert.deepEqual(style(true, { LANG: 'C.UTF-8' }), { hasColor: true, isUnicode: true });
    assert.deepEqual(style(true, { LANG: 'C' }), { hasColor: true, isUnicode: false });
    assert.deepEqual(style(true, { LC_ALL: 'C', LANG: 'de_DE.UTF-8' }), { hasColor: true, isUnicode: false });
    assert.deepEqual(style(false, { LANG: 'C.UTF-8' }), plain);
    assert.equal(style(true, { NO_COLOR: '1' }).hasColor, false);
    assert.equal(style(true, { TERM: 'dumb' }).hasColor, false);
    assert.equal(style(false, { FORCE_COLOR: '1' }).hasColor, true);
    assert.equal(style(true, { FORCE_COLOR: '0' }).hasColor, false);
  });
});
