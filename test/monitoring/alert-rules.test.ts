// Tests with promtool that each alert fires when it should, and that none fires on a normal day.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import type { Helm } from '../chart/helm.ts';
import { installModes } from '../chart/install-modes.ts';
import {
  addSeries,
  change,
  normalDay,
  restartMinute,
  type SeriesMap,
  toInputSeries,
  type ValueAt,
} from './alert-series.ts';
import { describeWithPrometheus, runPromtool } from './prometheus-tools.ts';
import { alertsOf, type RuleFile, release, renderRules } from './rendered-alerts.ts';

/** When the failure of a test begins. */
const faultMinute = 90;

const own = (name: string) => new RegExp(`^ecr_pull_secrets_${name}\\b`);
const to = (value: number) => () => value;
const since = (minute: number) => minute - faultMinute;

interface FiringCase {
  /** Without the prefix. */
  readonly alert: string;
  readonly what: string;
  readonly series: SeriesMap;
  /** Minutes from the start of the failure in which the alert does not fire yet. */
  readonly silentFor: number;
  /** Minutes after which it fires. */
  readonly firesAfter: number;
}

const day = normalDay();
const gauge = (name: string, value: number, from = faultMinute) => change(day, own(name), from, to(value));
const firstPod = /aaaaa/;

const cases: readonly FiringCase[] = [
  {
    ...{ alert: 'Down', what: 'all replicas are gone', silentFor: 4, firesAfter: 10 },
    series: change(day, /pod=/, faultMinute, () => undefined),
  },
  {
    ...{ alert: 'Down', what: 'all replicas cannot be scraped', silentFor: 4, firesAfter: 6 },
    series: change(
      change(day, /^ecr_pull_secrets_/, faultMinute, () => undefined),
      /^up/,
      faultMinute,
      to(0),
    ),
  },
  {
    ...{ alert: 'ReplicasUnavailable', what: 'a pod is not ready', silentFor: 14, firesAfter: 16 },
    series: change(
      day,
      /^kube_deployment_status_replicas_available.*deployment="ecr-pull-secrets"/,
      faultMinute,
      to(1),
    ),
  },
  {
    ...{ alert: 'ReplicasUnavailable', what: 'a pod cannot be scraped', silentFor: 14, firesAfter: 16 },
    series: change(
      change(day, /^ecr_pull_secrets_.*aaaaa/, faultMinute, () => undefined),
      /^up.*aaaaa/,
      faultMinute,
      to(0),
    ),
  },
  {
    ...{ alert: 'NotInSync', what: 'one replica', silentFor: 4, firesAfter: 6 },
    series: change(day, /^ecr_pull_secrets_in_sync.*aaaaa/, faultMinute, to(0)),
  },
  {
    ...{ alert: 'CredentialsBroken', what: 'of one replica', silentFor: 4, firesAfter: 6 },
    series: change(day, /^ecr_pull_secrets_aws_credentials_ok.*aaaaa/, faultMinute, to(0)),
  },
  {
    ...{ alert: 'PermanentFailures', what: 'on one replica', silentFor: 9, firesAfter: 11 },
    series: change(day, /^ecr_pull_secrets_failing_hosts.*aaaaa.*permanent="true"/, faultMinute, to(1)),
  },
  {
    ...{ alert: 'TemporaryFailures', what: 'that last', silentFor: 29, firesAfter: 31 },
    series: change(day, /^ecr_pull_secrets_failing_hosts.*permanent="false"/, faultMinute, to(1)),
  },
  {
    ...{ alert: 'TokensExpiring', what: 'three hours before the end', silentFor: 9, firesAfter: 11 },
    series: change(
      day,
      /^ecr_pull_secrets_token_expiration_timestamp_seconds.*region="us-east-1"/,
      0,
      to((faultMinute + 180) * 60 - 1),
    ),
  },
  {
    ...{ alert: 'RenewalLate', what: 'by more than an hour', silentFor: 9, firesAfter: 11 },
    series: gauge('renewal_lateness_seconds', 3_601),
  },
  {
    ...{ alert: 'UnmanagedSecrets', what: 'in one namespace', silentFor: 9, firesAfter: 11 },
    series: gauge('unmanaged_secrets', 1),
  },
  {
    ...{ alert: 'FullSecrets', what: 'in one namespace', silentFor: 9, firesAfter: 11 },
    series: change(day, /^ecr_pull_secrets_full_secrets.*aaaaa/, faultMinute, to(1)),
  },
  {
    ...{ alert: 'HostsForgotten', what: 'for the first time', silentFor: 0, firesAfter: 1 },
    series: addSeries(day, 'ecr_pull_secrets_unstored_hosts_forgotten_total', 'reason="limit"', (minute) =>
      minute < faultMinute ? undefined : 1,
    ),
  },
  {
    ...{ alert: 'HostsForgotten', what: 'again', silentFor: 1, firesAfter: 2 },
    series: addSeries(day, 'ecr_pull_secrets_unstored_hosts_forgotten_total', 'reason="limit"', (minute) =>
      minute <= faultMinute ? 7 : 8,
    ),
  },
  {
    ...{ alert: 'LogLinesDropped', what: 'on one replica', silentFor: 0, firesAfter: 2 },
    series: change(day, /^ecr_pull_secrets_log_lines_dropped_total.*aaaaa/, faultMinute, since),
  },
  {
    ...{ alert: 'ApiRequestsDropped', what: 'on one replica', silentFor: 0, firesAfter: 2 },
    series: change(day, /^ecr_pull_secrets_api_requests_dropped_total.*aaaaa/, faultMinute, since),
  },
  {
    ...{ alert: 'AdmissionErrors', what: 'for the first time', silentFor: 0, firesAfter: 1 },
    series: addSeries(day, 'ecr_pull_secrets_admission_requests_total', 'outcome="error"', (minute) =>
      minute < faultMinute ? undefined : 1,
    ),
  },
  {
    ...{ alert: 'AdmissionSlow', what: 'for 2% of the requests', silentFor: 9, firesAfter: 21 },
    series: change(
      day,
      /^ecr_pull_secrets_admission_request_duration_seconds_bucket.*le="2.5"/,
      faultMinute,
      (minute, before) => (before(minute) ?? 0) - Math.ceil(since(minute) * 0.6),
    ),
  },
  {
    ...{ alert: 'WebhookFailing', what: 'failing open', silentFor: 9, firesAfter: 13 },
    series: change(day, /^apiserver_admission_webhook_fail_open_count/, faultMinute, since),
  },
  {
    ...{ alert: 'WebhookFailing', what: 'failing closed', silentFor: 9, firesAfter: 13 },
    series: new Map([
      ...day,
      [
        'apiserver_admission_webhook_rejection_count{name="pods.ecr-pull-secrets.io",type="admit",operation="CREATE",error_type="calling_webhook_error",rejection_code="0",instance="master"}',
        ((minute) => (minute < faultMinute ? undefined : 1 + since(minute))) as ValueAt,
      ],
    ]),
  },
  {
    ...{
      alert: 'CertificateExpiring',
      what: 'with a quarter of its lifetime left',
      silentFor: 14,
      firesAfter: 16,
    },
    series: change(
      day,
      own('certificate_expiration_timestamp_seconds'),
      0,
      to(648_000 + faultMinute * 60 - 1),
    ),
  },
  {
    ...{ alert: 'CertificateControllerDown', what: 'for an hour', silentFor: 59, firesAfter: 61 },
    series: change(day, /deployment="ecr-pull-secrets-certificates"/, faultMinute, to(0)),
  },
  {
    ...{ alert: 'UninjectedPods', what: 'on one replica', silentFor: 14, firesAfter: 16 },
    series: change(day, /^ecr_pull_secrets_uninjected_pods.*aaaaa/, faultMinute, to(4)),
  },
  {
    ...{ alert: 'CatchUpFailing', what: 'after rounds that completed', silentFor: 35, firesAfter: 46 },
    series: change(day, own('catch_up_rounds_total'), faultMinute, (_minute, before) => before(faultMinute)),
  },
  {
    ...{ alert: 'CatchUpFailing', what: 'from the start', silentFor: 0, firesAfter: 0 },
    series: new Map(
      [...day]
        .filter(([name]) => !own('catch_up_rounds_total').test(name))
        .map(([name, valueAt]) => [
          name,
          (minute) => (minute < faultMinute - 11 ? undefined : valueAt(minute)),
        ]),
    ),
  },
  {
    ...{ alert: 'SyncOverdue', what: 'after a successful run', silentFor: 0, firesAfter: 2 },
    series: change(day, /^kube_cronjob_status_last_successful_time/, 0, (minute) =>
      minute < 1 ? undefined : (faultMinute - 420) * 60,
    ),
  },
];

describeWithPrometheus('the rules, with promtool', (helm: () => Helm) => {
  let rules: RuleFile;
  before(async () => {
    rules = await renderRules(helm());
  });

  /** Evaluates the rules, and checks which alerts fire at some minutes. */
  async function check(
    series: SeriesMap,
    minutes: number,
    expected: readonly { readonly minute: number; readonly firing: readonly string[] }[],
    expression = 'group by (alertname) (ALERTS{alertstate="firing"})',
    file = rules,
  ): Promise<void> {
    const { code, output } = await runPromtool(['test', 'rules', 'test.yaml'], {
      'rules.yaml': file,
      'test.yaml': {
        rule_files: ['rules.yaml'],
        evaluation_interval: '1m',
        tests: [
          {
            interval: '1m',
            input_series: toInputSeries(series, minutes),
            promql_expr_test: expected.map(({ minute, firing }) => ({
              expr: expression,
              eval_time: `${minute}m`,
              exp_samples: firing.map((name) => ({
                labels: `{alertname="EcrPullSecrets${name}"}`,
                value: 1,
              })),
            })),
          },
        ],
      },
    });
    assert.equal(code, 0, output);
  }

  it('are valid in every mode', async () => {
    for (const { values } of installModes) {
      const file = await renderRules(helm(), values);
      const { code, output } = await runPromtool(['check', 'rules', 'rules.yaml'], { 'rules.yaml': file });
      assert.equal(code, 0, output);
      assert.match(output, new RegExp(`SUCCESS: ${alertsOf(file).length} rules found`));
    }
  });

  it('are silent on a normal day with one rolling restart', async () => {
    const minutes = Array.from({ length: 1_440 / 5 }, (_, index) => index * 5);
    await check(
      day,
      1_440,
      minutes.map((minute) => ({ minute, firing: [] })),
    );
  });

  it('are silent on a normal day with a PodMonitor, and if both monitors scrape', async () => {
    const podMonitor = normalDay({ job: `${release.namespace}/${release.name}` });
    const minutes = Array.from({ length: 12 }, (_, index) => restartMinute + index * 5);
    const silent = minutes.map((minute) => ({ minute, firing: [] }));
    await check(podMonitor, restartMinute + 60, silent);
    await check(new Map([...day, ...podMonitor]), restartMinute + 60, silent);
  });

  it('are silent while another release fails, in another namespace or in the same', async () => {
    const others = [{ namespace: 'other' }, { job: 'second-ecr-pull-secrets-status' }].flatMap((labels) => {
      const failing = change(normalDay(labels), own('(aws_credentials_ok|in_sync)'), 0, to(0));
      return [...failing].filter(([name]) => !name.startsWith('kube_') && !name.startsWith('apiserver_'));
    });
    await check(new Map([...day, ...others]), 120, [{ minute: 120, firing: [] }]);
  });

  it('are silent between two runs of a CronJob that are eight hours apart, with a limit of nine', async () => {
    const series = change(
      day,
      /^kube_cronjob_status_last_successful_time/,
      0,
      (minute) => Math.floor(minute / 480) * 480 * 60 + 60,
    );
    const nineHours = await renderRules(helm(), undefined, { syncOverdueAfter: '9h' });
    const silent = [{ minute: 479, firing: [] }];
    await check(series, 480, silent, undefined, nineHours);
    await check(series, 480, [{ minute: 479, firing: ['SyncOverdue'] }]);
  });

  it('are silent when a counter starts again, and when a pod is scraped again after a gap', async () => {
    const errors = addSeries(day, 'ecr_pull_secrets_admission_requests_total', 'outcome="error"', (minute) =>
      minute < 200 ? 50 : 0,
    );
    const gap = change(errors, firstPod, 100, (minute, before) =>
      minute < 130 ? undefined : before(minute),
    );
    const minutes = [99, 131, 140, 146, 160, 200, 201, 215, 240];
    await check(
      gap,
      260,
      minutes.map((minute) => ({ minute, firing: [] })),
    );
  });

  for (const { alert, what, series, silentFor, firesAfter } of cases) {
    it(`EcrPullSecrets${alert}: ${what}`, async () => {
      const at = faultMinute + firesAfter;
      const silent = Array.from({ length: silentFor }, (_, index) => faultMinute + index);
      await check(series, at + 1, [
        ...silent.map((minute) => ({ minute, firing: [] })),
        { minute: at, firing: [alert] },
      ]);
    });
  }

  it('are each tested to fire', () => {
    const tested = new Set(cases.map(({ alert }) => `EcrPullSecrets${alert}`));
    const missing = alertsOf(rules).filter(({ alert }) => !tested.has(alert));
    assert.deepEqual(missing, []);
  });
});
