// Tests the Grafana dashboard of the chart.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { metricDefinitions } from '../../src/telemetry/metric-definitions.ts';
import { describeWithHelm } from '../chart/chart-suite.ts';
import { chartFolder } from '../chart/helm.ts';
import { findOne, getValueAt } from '../chart/rendered-objects.ts';
import { dashboardFile, type Panel, queriesOf, readDashboard } from './dashboard-file.ts';
import { metricNamesIn } from './promql.ts';
import { alertsOf, renderRules } from './rendered-alerts.ts';

describe('the dashboard', () => {
  it('finds its data source, namespaces, jobs and instances through variables, and names none itself', async () => {
    const { templating } = await readDashboard();
    assert.deepEqual(
      templating.list.map(({ name, type }) => [name, type]),
      [
        ['datasource', 'datasource'],
        ['namespace', 'query'],
        ['job', 'query'],
        ['instance', 'query'],
      ],
    );
    const text = await readFile(dashboardFile, 'utf8');
    const uids = [...text.matchAll(/"uid": "([^"]*)"/g)].map(([, uid]) => uid);
    assert.deepEqual([...new Set(uids)], [`$${'{datasource}'}`]);
  });

  it('selects the variables in every query', async () => {
    const variables = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"';
    for (const { expr } of queriesOf(await readDashboard())) {
      const selectors = [...expr.matchAll(/\{([^}]*)\}/g)].map(([, matchers]) => matchers);
      assert.deepEqual(
        selectors.filter((matchers) => matchers !== variables),
        [],
        expr,
      );
      assert.ok(selectors.length > 0, expr);
    }
  });

  it('has panels that have a title, a description and their own place', async () => {
    const { panels } = await readDashboard();
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const [index, panel] of panels.entries()) {
      assert.ok(panel.title !== '');
      assert.ok(panel.type === 'row' || /\.$/.test(panel.description ?? ''), panel.title);
      assert.ok(panel.gridPos.x + panel.gridPos.w <= 24, panel.title);
      const other = panels.slice(0, index).find((before) => overlaps(before, panel));
      assert.equal(other, undefined, `${panel.title} overlaps ${other?.title}`);
    }
  });

  it('shows every metric of the program, except one that a valid API server never increases', async () => {
    const shown = queriesOf(await readDashboard()).flatMap(({ expr }) => metricNamesIn(expr));
    const missing = Object.values(metricDefinitions)
      .map(({ name }) => name)
      .filter((name) => !shown.includes(name));
    assert.deepEqual(missing, ['ecr_pull_secrets_invalid_objects_total']);
  });

  it('uses only metrics that exist', async () => {
    const known = Object.values(metricDefinitions).map(({ name }) => name);
    const used = queriesOf(await readDashboard()).flatMap(({ expr }) => metricNamesIn(expr));
    assert.deepEqual(
      used.filter((name) => !/^(process|nodejs)_/.test(name) && !(known as string[]).includes(name)),
      [],
    );
  });
});

function overlaps({ gridPos: a }: Panel, { gridPos: b }: Panel): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

describeWithHelm('the ConfigMap of the dashboard', (helm) => {
  const findDashboard = async (dashboard: object) =>
    findOne(
      await helm().template({ metrics: { dashboard: { enabled: true, ...dashboard } } }),
      'ConfigMap',
      'ecr-pull-secrets-dashboard',
    );

  it('contains the file, with the label that the sidecar of Grafana selects', async () => {
    const { metadata, ...configMap } = await findDashboard({});
    assert.equal(metadata.labels?.['grafana_dashboard'], '1');
    assert.equal(metadata.namespace, 'ecr-pull-secrets');
    const [content] = Object.values<string>(getValueAt(configMap, 'data'));
    assert.deepEqual(
      JSON.parse(content ?? ''),
      JSON.parse(await readFile(join(chartFolder, 'dashboards/ecr-pull-secrets.json'), 'utf8')),
    );
  });

  it('has the namespace, labels and annotations of the values', async () => {
    const { metadata } = await findDashboard({
      namespace: 'monitoring',
      labels: { grafana_dashboard: null, dashboards: 'team' },
      annotations: { grafana_folder: 'Kubernetes' },
    });
    assert.equal(metadata.namespace, 'monitoring');
    assert.equal(metadata.labels?.['dashboards'], 'team');
    assert.equal(metadata.labels?.['grafana_dashboard'], undefined);
    assert.deepEqual(metadata.annotations, { grafana_folder: 'Kubernetes' });
  });
});

describeWithHelm('the metrics in the alerts', (helm) => {
  it('exist in the program', async () => {
    const known = new Set<string>(Object.values(metricDefinitions).map(({ name }) => name));
    const used = alertsOf(await renderRules(helm())).flatMap(({ expr }) => metricNamesIn(expr));
    const own = used.filter((name) => name.startsWith('ecr_pull_secrets_'));
    assert.ok(own.length > 15);
    assert.deepEqual(
      own.filter((name) => !known.has(name)),
      [],
    );
  });
});
