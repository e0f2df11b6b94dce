// Tests that every alert has a section in docs/runbooks.md, and every section an alert.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { documentationUrl } from '../../src/labels.ts';
import { describeWithHelm } from '../chart/chart-suite.ts';
import { chartFolder } from '../chart/helm.ts';
import { installModes } from '../chart/install-modes.ts';
import { alertsOf, release, renderRules } from './rendered-alerts.ts';

const pageFile = new URL('../../docs/runbooks.md', import.meta.url);

describeWithHelm('the alerts of the chart', (helm) => {
  const readSections = async () => {
    const [, ...sections] = (await readFile(pageFile, 'utf8')).split(/^## /m);
    return new Map(sections.map((text) => [text.slice(0, text.indexOf('\n')), text]));
  };

  it('each have a section in the runbooks, in the order of the page, and no section is without an alert', async () => {
    const names = alertsOf(await renderRules(helm())).map(({ alert }) => alert);
    assert.deepEqual([...(await readSections()).keys()], names);
    assert.equal(new Set(names).size, names.length);
  });

  it('link to their section, in the documentation of the program by default', async () => {
    for (const { alert, annotations } of alertsOf(await renderRules(helm()))) {
      assert.equal(annotations.runbook_url, `${documentationUrl}/runbooks.md#${alert.toLowerCase()}`);
    }
    const [first] = alertsOf(
      await renderRules(helm(), undefined, { runbookUrl: 'https://wiki.example/pulls' }),
    );
    assert.equal(first?.annotations.runbook_url, 'https://wiki.example/pulls#ecrpullsecretsdown');
  });

  it('have a runbook with meaning, impact, diagnosis and mitigation, which starts with doctor', async () => {
    for (const [alert, text] of await readSections()) {
      const parts = [...text.matchAll(/^\*\*(\w+)\.\*\* (.+)$/gm)].map(([, part]) => part);
      assert.deepEqual(parts, ['Meaning', 'Impact', 'Diagnosis', 'Mitigation'], alert);
      assert.match(text, /^\*\*Diagnosis\.\*\* Run `ecr-pull-secrets doctor`/m, alert);
    }
  });

  it('can be omitted by name, and the schema knows exactly their names', async () => {
    const names = alertsOf(await renderRules(helm())).map(({ alert }) => alert);
    const schema = JSON.parse(await readFile(join(chartFolder, 'values.schema.json'), 'utf8'));
    const { disabled } = schema.properties.metrics.properties.prometheusRule.properties;
    assert.deepEqual(disabled.items.enum, names);
    const omitted = ['EcrPullSecretsDown', 'EcrPullSecretsSyncOverdue'];
    const rest = alertsOf(await renderRules(helm(), undefined, { disabled: omitted }));
    assert.deepEqual(
      rest.map(({ alert }) => alert),
      names.filter((name) => !omitted.includes(name)),
    );
  });

  it('carry the severities and labels of the values, and the namespace of the release', async () => {
    const rules = await renderRules(helm(), undefined, {
      severities: { critical: 'page', warning: 'ticket' },
      alertLabels: { team: 'platform' },
    });
    for (const { labels } of alertsOf(rules)) {
      assert.deepEqual({ ...labels, severity: '' }, { namespace: 'pulls', team: 'platform', severity: '' });
      assert.ok(['page', 'ticket'].includes(labels['severity'] ?? ''));
    }
  });

  it('select the metrics of one release, by the jobs of its ServiceMonitor and PodMonitor or as configured', async () => {
    const selectors = async (settings = {}) =>
      alertsOf(await renderRules(helm(), undefined, settings)).flatMap(({ expr }) =>
        [...expr.matchAll(/\b(?:up|ecr_pull_secrets_\w+)\{([^}]*)\}/g)].map(([, matchers = '']) => matchers),
      );
    const { namespace, name, job } = release;
    for (const matchers of await selectors()) {
      assert.ok(matchers.startsWith(`namespace="${namespace}",job=~"${job}|${namespace}/${name}"`), matchers);
    }
    for (const matchers of await selectors({ selector: 'job="pulls"' })) {
      assert.ok(/^job="pulls"(,|$)/.test(matchers), matchers);
    }
  });

  it('are only those that apply to the mode', async () => {
    const of = async (mode: string) => {
      const values = installModes.find(({ name }) => name === mode)?.values;
      assert.ok(values, mode);
      return alertsOf(await renderRules(helm(), values)).map(({ alert }) =>
        alert.replace('EcrPullSecrets', ''),
      );
    };
    assert.deepEqual(await of('a CronJob alone'), ['SyncOverdue']);
    assert.ok(!(await of('no values')).includes('SyncOverdue'));
    const withoutWebhook = await of('policy');
    assert.ok(!withoutWebhook.some((name) => /^(Admission|Webhook)/.test(name)));
    assert.ok(withoutWebhook.includes('UninjectedPods'));
    const accounts = await of('ServiceAccounts');
    assert.ok(!accounts.some((name) => /^(UninjectedPods|CatchUp)/.test(name)));
    assert.ok(!(await of('certificates from cert-manager')).includes('CertificateControllerDown'));
  });

  it('of the CronJob waits longer than the default schedule, and as long as the settings say', async () => {
    const exprOf = async (settings: Parameters<typeof renderRules>[2]) =>
      alertsOf(await renderRules(helm(), undefined, settings)).find(({ alert }) => /SyncOverdue$/.test(alert))
        ?.expr ?? '';
    assert.match(await exprOf({}), /> 25200$/);
    assert.match(await exprOf({ syncOverdueAfter: '9h' }), /> 32400$/);
  });

  it('have thresholds that follow the settings', async () => {
    const exprOf = async (name: string, values: Parameters<typeof renderRules>[1]) =>
      alertsOf(await renderRules(helm(), values)).find(({ alert }) => alert === `EcrPullSecrets${name}`)
        ?.expr;
    const cases = [
      ['TokensExpiring', {}, /< 10800$/],
      ['TokensExpiring', { config: { tokens: { freshFraction: 0.1 } } }, /< 2160$/],
      ['TokensExpiring', { config: { tokens: { freshFraction: 0.1, minimumLife: '30m' } } }, /< 2160$/],
      ['TokensExpiring', { config: { tokens: { freshFraction: 0.1, minimumLife: '4h' } } }, /< 7200$/],
      ['TokensExpiring', { config: { tokens: { minimumLife: '12h' } } }, /< 19440$/],
      ['CertificateExpiring', {}, /< 648000$/],
      ['CertificateExpiring', { certificates: { managed: { leafLife: '48h' } } }, /< 43200$/],
      ['CertificateExpiring', { certificates: { mode: 'certManager' } }, /< 1944000$/],
      [
        'CertificateExpiring',
        { certificates: { mode: 'existingSecret', secretName: 'tls', caBundle: 'LS0t' } },
        /< 604800$/,
      ],
      ['AdmissionSlow', {}, /> 2\.5$/m],
      ['AdmissionSlow', { webhook: { timeoutSeconds: 1 } }, /> 0\.5$/m],
      ['AdmissionSlow', { webhook: { timeoutSeconds: 30 } }, /> 5$/m],
      ['CatchUpFailing', {}, /\[30m\]/],
      ['CatchUpFailing', { config: { catchUp: { interval: '1h' } } }, /\[180m\]/],
    ] as const;
    for (const [name, values, expected] of cases) {
      assert.match((await exprOf(name, values)) ?? '', expected, JSON.stringify(values));
    }
  });
});
