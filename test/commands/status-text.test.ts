// Tests the table of status: order, summary, widths, colours and untrusted text.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type StatusLayout, statusText } from '../../src/commands/status-text.ts';
import type { SecretStatus } from '../../src/diagnosis/secret-states.ts';
import { createStatusRows, type RowFilter, summarizeStatus } from '../../src/diagnosis/status-rows.ts';
import { countStates, hostStatus, secretStatus } from '../diagnosis/secret-status-fixtures.ts';

const now = Date.parse('2026-01-02T12:00:00Z');
const hour = 3_600_000;
const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const plain: StatusLayout = { isWide: false, hasColor: false, columns: undefined, rows: undefined };
const everything: RowFilter = { matchesHost: () => true, keepsSecrets: true, states: [] };
const noPods = { count: 0, names: [], hosts: new Set<string>() };

const role = { kind: 'role', roleArn: 'arn:aws:iam::111122223333:role/pull', rule: 'registries[0]' } as const;
const secrets = [
  secretStatus('cart', [hostStatus('valid', { expiresAt: now + 5.2 * hour })]),
  secretStatus('shop', [
    hostStatus('valid', { expiresAt: now + 5 * hour, identity: role }),
    hostStatus('expired', { host: 'b.example.com', expiresAt: now - 2 * hour, error: 'no network' }),
  ]),
  secretStatus('web', [hostStatus('waiting', { waitingSince: now - 90_000 })]),
  secretStatus('zoo', [], { condition: 'unmanaged', detail: 'it has no label' }),
];

function textOf(
  filter: Partial<RowFilter> = {},
  layout: Partial<StatusLayout> = {},
  of: readonly SecretStatus[] = secrets,
  notes: readonly string[] = [],
): string {
  const uninjected = new Map([['bar', { ...noPods, count: 2, names: ['p1', 'p2'], hosts: new Set([host]) }]]);
  const input = { secrets: of, countPods: () => 3, uninjected };
  const counts = countStates(of.flatMap(({ hosts }) => hosts));
  const rows = createStatusRows(input, { ...everything, ...filter });
  return statusText({ rows, summary: summarizeStatus(counts, input), notes, now }, { ...plain, ...layout });
}

const columnsOf = (text: string) =>
  text
    .split('\n')
    .slice(3)
    .filter((line) => line !== '')
    .map((line) => line.split(/ {3,}/));

describe('the table of status', () => {
  it('has a summary, and a row for each host and each problem, the worst first', () => {
    const text = textOf();
    assert.equal(
      text.split('\n')[0],
      '4 hosts in 4 pull Secrets: 1 expired, 1 unmanaged, 1 waiting, 2 valid, 2 pods without the reference',
    );
    assert.deepEqual(
      columnsOf(text).map((row) => row.slice(0, 5)),
      [
        ['shop', 'b.example.com', 'expired', '2h0m ago', '3'],
        ['zoo', '-', 'unmanaged', '-', '-'],
        ['web', host, 'waiting', '-', '3'],
        ['bar', host, 'uninjected', '-', '2'],
        ['cart', host, 'valid', 'in 5h12m', '3'],
        ['shop', host, 'valid', 'in 5h0m', '3'],
      ],
    );
    assert.match(text, /waiting for 1m\n/);
    assert.match(text, / role\/pull\n/);
  });

  it('shows whole ARNs, times and names of pods in the wide form', () => {
    const text = textOf({}, { isWide: true });
    assert.match(text, /arn:aws:iam::111122223333:role\/pull/);
    assert.match(text, /2026-01-02T17:00:00Z/);
    assert.match(text, /p1, p2; these pods have no reference/);
  });

  it('filters rows, and not the summary', () => {
    const only = (filter: Partial<RowFilter>) =>
      columnsOf(textOf(filter)).map(([namespace, , state]) => `${namespace} ${state}`);
    assert.deepEqual(only({ states: ['expired', 'unmanaged'] }), ['shop expired', 'zoo unmanaged']);
    assert.deepEqual(only({ matchesHost: (one) => one === 'b.example.com', keepsSecrets: false }), [
      'shop expired',
    ]);
    assert.match(textOf({ states: ['edited'] }), /^4 hosts in 4 pull Secrets/);
  });

  it('shortens errors to the width of the terminal, and rows to its height', () => {
    const long = [secretStatus('shop', [hostStatus('failing', { error: 'word '.repeat(100) })])];
    const lines = textOf({}, { columns: 150, rows: 30 }, long).split('\n');
    assert.ok(
      lines.every((line) => line.length <= 150),
      lines.join('\n'),
    );
    assert.match(textOf({}, { isWide: true }, long), /(word ){99}word/);
    const many = Array.from({ length: 50 }, (_, index) => secretStatus(`n${index}`, [hostStatus('valid')]));
    const shown = textOf({}, { rows: 20 }, many).split('\n');
    assert.ok(shown.length < 20, String(shown.length));
    assert.match(shown.join('\n'), /and 38 more rows/);
  });

  it('colours states only if that is wanted', () => {
    assert.ok(!textOf().includes('\u001b'));
    assert.ok(textOf({}, { hasColor: true }).includes('\u001b[31mexpired'));
  });

  it('shows no credentials, and no text that could control the terminal or begin a row', () => {
    const error = `\u001b[2Jfake\nshop   ${host}   valid \u202e AWS:c2VjcmV0LXNlY3JldA`;
    const text = textOf({}, { isWide: true }, [secretStatus('shop', [hostStatus('failing', { error })])]);
    assert.ok(
      ['\u001b', '\u202e', 'c2VjcmV0'].every((hidden) => !text.includes(hidden)),
      text,
    );
    assert.equal(columnsOf(text).length, 2);
  });

  it('says what is missing, and that there is nothing', () => {
    assert.match(textOf({}, {}, secrets, ['pods are missing']), /\nnote: pods are missing\n$/);
    const input = { secrets: [], countPods: () => 0, uninjected: new Map() };
    const empty = { rows: [], summary: summarizeStatus(countStates([]), input), notes: [], now };
    assert.equal(statusText(empty, plain), 'no pull Secret exists in these namespaces\n');
  });
});
