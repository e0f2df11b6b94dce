// Tests that the queries of the dashboard and the alerts return what a real Prometheus scrapes from the real program.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { queriesOf, readDashboard } from './dashboard-file.ts';
import { describeWithPrometheus } from './prometheus-tools.ts';
import { selectorsIn } from './promql.ts';
import { alertsOf, renderRules } from './rendered-alerts.ts';
import { runScriptedHour, type ScriptedHour } from './scripted-hour.ts';

const prefix = 'EcrPullSecrets';

/** What Grafana inserts for the variables of the dashboard if nothing is selected. */
const variables: Readonly<Record<string, string>> = {
  namespace: '.*',
  job: '.*',
  instance: '.*',
  __rate_interval: '1m',
};

const insertVariables = (expr: string) =>
  expr.replaceAll(/\$(\w+)/g, (text, name: string) => variables[name] ?? text);

describeWithPrometheus('the queries', (helm) => {
  describeOnCluster('on a real API server', (cluster) => {
    let hour: ScriptedHour;
    before(
      async () => {
        hour = await runScriptedHour(cluster(), helm());
      },
      { timeout: 300_000 },
    );
    after(() => hour?.stop());

    /** The number of values that a query has returned, without NaN. */
    const countValues = async (expr: string): Promise<number> =>
      (await hour.prometheus.queryAll(expr))
        .flatMap(({ values }) => values)
        .filter(([, value]) => value !== 'NaN').length;

    it('of the dashboard all return data', async () => {
      const empty: string[] = [];
      for (const { title, expr } of queriesOf(await readDashboard())) {
        if ((await countValues(insertVariables(expr))) === 0) {
          empty.push(`${title}: ${expr}`);
        }
      }
      assert.deepEqual(empty, []);
    });

    it('of the variables of the dashboard return the namespace, the job and the replicas', async () => {
      const { templating } = await readDashboard();
      for (const { name, definition = '' } of templating.list.slice(1)) {
        const [, selector = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(definition) ?? [];
        assert.equal(label, name);
        assert.ok((await countValues(`group by (${label}) (${insertVariables(selector)})`)) > 0, definition);
      }
    });

    it('of the alerts select series that exist', async () => {
      const selectors = alertsOf(await renderRules(helm())).flatMap(({ expr }) => selectorsIn(expr));
      const empty: string[] = [];
      for (const selector of new Set(selectors)) {
        if ((await countValues(selector)) === 0) {
          empty.push(selector);
        }
      }
      assert.deepEqual(empty, []);
    });

    it('of the alerts match when what they report has happened', async () => {
      const silent: string[] = [];
      for (const { alert, expr } of alertsOf(await renderRules(helm()))) {
        if ((await countValues(expr)) === 0) {
          silent.push(alert.replace(prefix, ''));
        }
      }
      assert.deepEqual(silent, []);
    });

    it('of the alerts result in readable annotations', () => {
      assert.ok(hour.annotations.length > 0);
      for (const { summary = '', description = '' } of hour.annotations) {
        assert.doesNotMatch(`${summary} ${description}`, /<error|<no value>|\{\{| {2}| \./);
        assert.match(description, /\.$/);
      }
    });
  });
});
