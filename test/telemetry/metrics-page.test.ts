// Tests that the metric definitions match docs/reference/metrics.md and every mention of a metric.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createPrometheusMetrics } from '../../src/telemetry/metrics.ts';
import { definitions, metricsPage, metricsPageFile } from './metrics-page.ts';

const root = join(import.meta.dirname, '../..');

describe('metric definitions', () => {
  it('are the ones of docs/reference/metrics.md (npm run docs:metrics)', async () => {
    const isCurrent = (await readFile(metricsPageFile, 'utf8')) === metricsPage();
    assert.ok(isCurrent, 'docs/reference/metrics.md is out of date: run npm run docs:metrics');
  });

  it('are all registered, with their type and help text', async () => {
    const { text } = await createPrometheusMetrics().render();
    const headersOf = (exposition: string) =>
      (exposition.match(/^# (?:HELP|TYPE) ecr_pull_secrets_.*$/gm) ?? []).toSorted();
    const expected = definitions.flatMap(({ name, type, help }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
    ]);
    const registered = headersOf(text);
    const problems = [
      ...expected.filter((line) => !registered.includes(line)).map((line) => `not in metrics.ts: ${line}`),
      ...registered
        .filter((line) => !expected.includes(line))
        .map((line) => `not in metric-definitions.ts: ${line}`),
    ];
    assert.ok(problems.length === 0, `src/telemetry:\n${problems.join('\n')}`);
    assert.equal(registered.length, expected.length);
  });

  it('follow the naming conventions of Prometheus', () => {
    const names = definitions.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, type, help, labels } of definitions) {
      assert.match(name, /^ecr_pull_secrets_[a-z]+(_[a-z]+)*$/);
      assert.equal(name.endsWith('_total'), type === 'counter', `${name}: only counters end in _total`);
      assert.doesNotMatch(name, /_(ms|milliseconds|minutes|hours|kb)(_|$)/, `${name}: base units only`);
      assert.match(help, /^[A-Z].*\.$/, `${name}: the help text is a sentence`);
      assert.ok(
        Object.keys(labels).every((label) => /^[a-z]+$/.test(label)),
        name,
      );
    }
  });

  it('cover every metric that the repository mentions', () => {
    const files = globSync(['README.md', '{docs,charts,bench,demo,test}/**/*.{md,ts,yaml,tpl,txt}'], {
      cwd: root,
    });
    const mentioned = files.flatMap(
      (file) => readFileSync(join(root, file), 'utf8').match(/\becr_pull_secrets_[a-z_]+/g) ?? [],
    );
    assert.ok(mentioned.length > 50, `only ${mentioned.length} mentions were found`);
    const known = new Set(
      definitions.flatMap(({ name, type }) =>
        type === 'histogram' ? [name, `${name}_count`, `${name}_sum`, `${name}_bucket`] : [name],
      ),
    );
    const unknown = new Set(mentioned.filter((name) => !known.has(name)));
    assert.deepEqual([...unknown], []);
  });
});
