// Generates the series of an installation for the unit tests of promtool: a normal day, and changes of it.
import { release } from './rendered-alerts.ts';

/** The value of a series at a minute; undefined: there is no sample. */
export type ValueAt = (minute: number) => number | undefined;

/** Series by their name with labels. */
export type SeriesMap = Map<string, ValueAt>;

/** A replica that runs from one minute to another. */
interface Replica {
  readonly pod: string;
  readonly from: number;
  readonly until: number;
}

/** When the replicas of a normal day are replaced, one after the other. */
export const restartMinute = 720;

const dayMinutes = 1_440;
const tokenLifetimeMinutes = 720;

/** Minutes after half of the lifetime in which the renewals of all namespaces are spread. */
const renewalSpreadMinutes = 33;

/** Requests of a replica in a minute. */
const requestsPerMinute = 30;

/** The replicas of a normal day with one rolling restart. */
const replicas: readonly Replica[] = [
  { pod: 'ecr-pull-secrets-7c9d8b6f5d-aaaaa', from: 0, until: restartMinute },
  { pod: 'ecr-pull-secrets-7c9d8b6f5d-bbbbb', from: 0, until: restartMinute + 2 },
  { pod: 'ecr-pull-secrets-5f6d7c8b9d-ccccc', from: restartMinute - 1, until: dayMinutes + 1 },
  { pod: 'ecr-pull-secrets-5f6d7c8b9d-ddddd', from: restartMinute + 1, until: dayMinutes + 1 },
];

export interface SeriesOptions {
  readonly namespace?: string;
  /** The label that Prometheus gives to the metrics of a ServiceMonitor; the PodMonitor of the chart has another one. */
  readonly job?: string;
}

/** The series of a normal day: a rolling restart, short failures that resolve themselves, and counters that start again. */
export function normalDay({
  namespace = release.namespace,
  job = release.job,
}: SeriesOptions = {}): SeriesMap {
  const series: SeriesMap = new Map();
  for (const replica of replicas) {
    const common = `namespace="${namespace}",job="${job}",pod="${replica.pod}",instance="${replica.pod}:8080"`;
    for (const [name, { labels = '', valueAt }] of replicaSeries(replica)) {
      series.set(`${name}{${[common, labels].filter(Boolean).join(',')}}`, (minute) =>
        minute < replica.from || minute >= replica.until ? undefined : valueAt(minute),
      );
    }
  }
  const cluster = clusterSeries(namespace);
  for (const [name, valueAt] of cluster) {
    series.set(name, valueAt);
  }
  return series;
}

type Metric = readonly [string, { readonly labels?: string; readonly valueAt: ValueAt }];

function replicaSeries({ from, until }: Replica): Metric[] {
  const isStarting = (minute: number) => minute === from;
  const isStopping = (minute: number) => minute === until - 1 && until < dayMinutes;
  const age = (minute: number) => minute - from;
  const constant =
    (value: number): ValueAt =>
    () =>
      value;
  const within = (start: number, minutes: number) => (minute: number) =>
    minute >= start && minute < start + minutes;
  const hadThrottling = within(300, 8);
  const hadMissedPods = within(restartMinute, 7);
  const name = (suffix: string) => `ecr_pull_secrets_${suffix}`;
  const requests = (minute: number, share: number) => Math.floor(age(minute) * requestsPerMinute * share);
  return [
    ['up', { valueAt: (minute) => (isStopping(minute) ? 0 : 1) }],
    [name('in_sync'), { valueAt: (minute) => (isStarting(minute) ? 0 : 1) }],
    [name('aws_credentials_ok'), { valueAt: (minute) => (isStarting(minute) ? 0 : 1) }],
    [name('failing_hosts'), { labels: 'permanent="true"', valueAt: constant(0) }],
    [
      name('failing_hosts'),
      { labels: 'permanent="false"', valueAt: (minute) => (hadThrottling(minute) ? 3 : 0) },
    ],
    ...['eu-central-1', 'us-east-1'].map(
      (region, index): Metric => [
        name('token_expiration_timestamp_seconds'),
        { labels: `region="${region}"`, valueAt: (minute) => tokenExpiry(minute, index * 90) },
      ],
    ),
    [name('renewal_lateness_seconds'), { valueAt: (minute) => (hadThrottling(minute) ? 480 : 0) }],
    [name('unmanaged_secrets'), { valueAt: constant(0) }],
    [name('full_secrets'), { valueAt: constant(0) }],
    [name('uninjected_pods'), { valueAt: (minute) => (hadMissedPods(minute) ? 2 : 0) }],
    [
      name('certificate_expiration_timestamp_seconds'),
      {
        labels: 'certificate="webhook"',
        valueAt: (minute) => (isStarting(minute) ? undefined : 25 * 86_400),
      },
    ],
    [
      name('catch_up_rounds_total'),
      {
        labels: 'outcome="completed"',
        valueAt: (minute) => (age(minute) < 2 ? undefined : 1 + Math.floor(age(minute) / 6)),
      },
    ],
    [name('unstored_hosts_forgotten_total'), { labels: 'reason="denied"', valueAt: constant(1) }],
    [name('log_lines_dropped_total'), { valueAt: constant(0) }],
    [name('api_requests_dropped_total'), { valueAt: constant(0) }],
    [
      name('admission_requests_total'),
      { labels: 'outcome="patched",reason="ecr-image"', valueAt: (minute) => requests(minute, 1) },
    ],
    [name('admission_request_duration_seconds_count'), { valueAt: (minute) => requests(minute, 1) }],
    ...(
      [
        ['0.05', 0.97],
        ['1', 0.98],
        ['2.5', 1],
        ['5', 1],
        ['+Inf', 1],
      ] as const
    ).map(
      ([le, share]): Metric => [
        name('admission_request_duration_seconds_bucket'),
        { labels: `le="${le}"`, valueAt: (minute) => requests(minute, share) },
      ],
    ),
  ];
}

/** Every half lifetime, the tokens of a region are renewed within the spread; until the last one is, the first expiry stays. */
function tokenExpiry(minute: number, offset: number): number {
  const period = tokenLifetimeMinutes / 2 + renewalSpreadMinutes;
  const renewedAt = Math.floor((minute + offset) / period) * period - offset;
  return (renewedAt + tokenLifetimeMinutes) * 60;
}

/** Metrics of kube-state-metrics and of the API server. */
function clusterSeries(namespace: string): SeriesMap {
  const isRestarting = (minute: number) => minute >= restartMinute - 1 && minute < restartMinute + 3;
  const deployment = (name: string) => `namespace="${namespace}",deployment="${name}"`;
  const cronJob = `namespace="${namespace}",cronjob="ecr-pull-secrets-sync"`;
  const webhook = 'name="pods.ecr-pull-secrets.io",type="admit"';
  return new Map<string, ValueAt>([
    [`kube_deployment_spec_replicas{${deployment('ecr-pull-secrets')}}`, () => 2],
    [
      `kube_deployment_status_replicas_available{${deployment('ecr-pull-secrets')}}`,
      (minute) => (isRestarting(minute) ? 1 : 2),
    ],
    [
      `kube_deployment_status_replicas_available{${deployment('ecr-pull-secrets-certificates')}}`,
      (minute) => (isRestarting(minute) ? 0 : 1),
    ],
    [`kube_cronjob_created{${cronJob}}`, () => 0],
    [
      `kube_cronjob_status_last_successful_time{${cronJob}}`,
      (minute) => (minute < 120 ? undefined : Math.floor(minute / 240) * 240 * 60 + 60),
    ],
    // a few calls fail while the replicas are replaced
    [
      `apiserver_admission_webhook_fail_open_count{${webhook},instance="master"}`,
      (minute) => (minute < restartMinute ? undefined : Math.min(3, minute - restartMinute)),
    ],
    [
      `apiserver_admission_webhook_rejection_count{${webhook},operation="CREATE",error_type="no_error",rejection_code="403",instance="master"}`,
      (minute) => minute,
    ],
  ]);
}

/**
 * Replaces the values of all series that match, from a minute on. A series that does not exist yet is added for each replica.
 * @param pattern matches the name with labels, as text
 */
export function change(
  series: SeriesMap,
  pattern: RegExp,
  from: number,
  changed: (minute: number, before: ValueAt) => number | undefined,
): SeriesMap {
  const result: SeriesMap = new Map(series);
  for (const [name, before] of series) {
    if (pattern.test(name)) {
      result.set(name, (minute) => (minute < from ? before(minute) : changed(minute, before)));
    }
  }
  return result;
}

/** Adds a series with other labels to each replica. */
export function addSeries(series: SeriesMap, name: string, labels: string, valueAt: ValueAt): SeriesMap {
  const result: SeriesMap = new Map(series);
  for (const [existing, up] of series) {
    if (existing.startsWith('up{')) {
      result.set(`${name}${existing.slice(2, -1)},${labels}}`, (minute) =>
        up(minute) === undefined ? undefined : valueAt(minute),
      );
    }
  }
  return result;
}

/** Renders the series for promtool, with one sample a minute. */
export function toInputSeries(
  series: SeriesMap,
  minutes: number,
): { readonly series: string; readonly values: string }[] {
  return [...series]
    .map(([name, valueAt]) => ({
      series: name,
      values: compress(Array.from({ length: minutes + 1 }, (_, minute) => valueAt(minute))),
    }))
    .filter(({ values }) => /\d/.test(values.replaceAll(/_x\d+/g, '')));
}

/** Renders values in promtool's notation: `1+2x3` is 1 3 5 7, and `_x3` is three times no value. */
function compress(values: readonly (number | undefined)[]): string {
  const parts: string[] = [];
  for (let at = 0; at < values.length; ) {
    const first = values[at];
    const step = first === undefined ? 0 : (values[at + 1] ?? first) - first;
    let end = at + 1;
    while (end < values.length && follows(values[end], values[end - 1], step)) {
      end += 1;
    }
    const count = end - at;
    parts.push(
      first === undefined ? `_x${count}` : `${first}${step < 0 ? '-' : '+'}${Math.abs(step)}x${count - 1}`,
    );
    at = end;
  }
  return parts.join(' ');
}

function follows(value: number | undefined, before: number | undefined, step: number): boolean {
  return value === undefined || before === undefined ? value === before : value - before === step;
}
