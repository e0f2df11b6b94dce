// Tests that durations have the same bounds in the program and in the chart.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as v from 'valibot';
import { readConfig } from '../../src/config/load-config.ts';
import { configSchema } from '../../src/config/schema.ts';
import { durationBetween } from '../../src/config/value-types.ts';
import { getValueAt } from '../kube/secret-api-fixtures.ts';
import { describeWithHelm } from './chart-suite.ts';
import { type Bounds, durationPattern, durationsIn } from './durations.ts';
import { chartFolder } from './helm.ts';

const hourMs = 3_600_000;

/** Durations that are compared with the clock and never used for a timer. */
const withoutTimer = ['secrets.forgetAfter', 'certificates.authorityLife', 'certificates.leafLife'];

/** Durations in the chart's values that the program does not read. */
const durationsOfOthers: Readonly<Record<string, Bounds>> = {
  'certificates.certManager.duration': { fromMs: hourMs, toMs: 87_600 * hourMs }, // cert-manager's own minimum
  'metrics.serviceMonitor.interval': { fromMs: 1_000, toMs: 24 * hourMs },
  'metrics.podMonitor.interval': { fromMs: 1_000, toMs: 24 * hourMs },
  'metrics.prometheusRule.syncOverdueAfter': { fromMs: hourMs, toMs: 168 * hourMs },
};

const schemaFile = () => readFile(join(chartFolder, 'values.schema.json'), 'utf8');

/** The path in the chart's values of a setting of the program. */
function chartPathOf(path: string): string {
  return path.replace(/^certificates\./, 'certificates.managed.').replace(/^(?!certificates\.)/, 'config.');
}

describe('durations', () => {
  const durations = durationsIn(configSchema);

  it('all have bounds, and twice the maximum does not overflow a timer', () => {
    assert.ok(durations.size >= 10, [...durations.keys()].join());
    for (const [path, { toMs }] of durations) {
      assert.ok(withoutTimer.includes(path) || 2 * toMs < 2 ** 31, path);
    }
  });

  it('have the same bounds in the chart', async () => {
    const chart: unknown = JSON.parse(await schemaFile());
    const expected = {
      ...Object.fromEntries([...durations].map(([path, bounds]) => [chartPathOf(path), bounds])),
      ...durationsOfOthers,
    };
    for (const [path, bounds] of Object.entries(expected)) {
      const node = getValueAt(chart, 'properties', ...path.split('.').join('.properties.').split('.'));
      assert.equal(
        getValueAt(node, 'pattern'),
        durationPattern(bounds),
        `the pattern of ${path} in values.schema.json`,
      );
      assert.match(String(getValueAt(node, 'description')), /^Duration from \d+m?[smh] to \d+[smh]\.$/);
    }
    const patterns = [...JSON.stringify(chart).matchAll(/"pattern":"[^"]*\)[msh]+[|)]/g)];
    assert.equal(patterns.length, Object.keys(expected).length, 'the chart has no other durations');
  });

  it('match their pattern exactly if the program accepts them', () => {
    const bound = fc.tuple(fc.nat({ max: 100_000 }), fc.constantFrom('ms', 's', 'm', 'h'));
    const text = ([number, unit]: [number, string]) => `${number}${unit}`;
    const numbers = fc.oneof(fc.nat({ max: 100_000 }), fc.nat({ max: 2_000_000_000 }));
    fc.assert(
      fc.property(
        bound,
        bound,
        fc.tuple(numbers, fc.constantFrom('ms', 's', 'm', 'h')),
        (one, other, [number, unit]) => {
          const [[fromMs, from], [toMs, to]] = [one, other]
            .map((duration): [number, string] => [
              v.parse(durationBetween('0s', '100000h'), text(duration)),
              text(duration),
            ])
            .sort(([a], [b]) => a - b) as [[number, string], [number, string]];
          const pattern = new RegExp(durationPattern({ fromMs, toMs }));
          for (const candidate of [text([number, unit]), from, to, `0${from}`, `${number}`]) {
            const accepted = v.safeParse(durationBetween(from, to), candidate).success;
            assert.equal(pattern.test(candidate), accepted, `${candidate} from ${from} to ${to}`);
          }
        },
      ),
    );
  });

  for (const [path, bounds] of durations) {
    it(`such as ${path} are refused outside of their bounds, with the given value`, () => {
      const [group, name] = path.split('.');
      const outside = [
        `${bounds.toMs + 1}ms`,
        '2000000h',
        ...(bounds.fromMs > 0 ? ['0s', '0ms', `${bounds.fromMs - 1}ms`] : []),
      ];
      for (const text of outside.filter((one) => /^\d{1,9}\D/.test(one))) {
        assert.throws(
          () => readConfig(`${group}: { ${name}: ${text} }`, 'test'),
          new RegExp(`${path} must be a duration from \\S+ to \\S+, not "${text}"`),
        );
      }
      const limit = [bounds.fromMs, bounds.toMs].filter((ms) => ms < 1e9).map((ms) => `${ms}ms`);
      for (const text of limit) {
        readConfig(`${group}: { ${name}: ${text} }`, 'test');
      }
    });
  }
});

describeWithHelm('invalid durations', (helm) => {
  for (const [group, name, text] of [
    ['tokens', 'requestTimeout', '0s'],
    ['tokens', 'connectTimeout', '600h'],
    ['kubernetes', 'requestTimeout', '2000h'],
    ['webhook', 'drainTimeout', '0s'],
  ] as const) {
    it(`are refused by Helm: config.${group}.${name} ${text}`, async () => {
      const values = { config: { [group]: { [name]: text } } };
      const { code, stderr } = await helm().run(['template', 'x', chartFolder], values);
      assert.notEqual(code, 0);
      assert.match(stderr, new RegExp(`/config/${group}/${name}': '${text}' does not match pattern`));
    });
  }

  it('may be 0 where 0 has a meaning', async () => {
    const config = { webhook: { deadlineMargin: '0s', shutdownDelay: '0s' }, tokens: { minimumLife: '0s' } };
    assert.equal((await helm().run(['template', 'x', chartFolder], { config })).code, 0);
  });
});
