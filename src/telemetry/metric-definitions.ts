// Name, type, help text and labels of every metric: the source of docs/reference/metrics.md (npm run docs:metrics).

export interface MetricDefinition<Label extends string = string> {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** What the values of each label mean. */
  readonly labels: Readonly<Record<Label, string>>;
}

const unlabeled: Readonly<Record<never, string>> = {};

const region = 'AWS region; `other` for all regions after the first 64';

/** A new metric is added here and in `metrics.ts`. A base unit is the last part of a name, before `_total`. */
export const metricDefinitions = {
  admissionRequests: {
    name: 'ecr_pull_secrets_admission_requests_total',
    type: 'counter',
    help: 'Admission requests, by outcome and reason. Outcome refused counts requests and connections that were refused before they were parsed.',
    labels: {
      outcome: '[admission outcome](reasons.md#admission-outcomes)',
      reason: '[reason](reasons.md#admission-outcomes)',
    },
  },
  admissionRequestDuration: {
    name: 'ecr_pull_secrets_admission_request_duration_seconds',
    type: 'histogram',
    help: 'Time from a parsed admission request to its response.',
    labels: unlabeled,
  },
  ecrRequests: {
    name: 'ecr_pull_secrets_ecr_requests_total',
    type: 'counter',
    help: 'GetAuthorizationToken calls to Amazon ECR, by region and outcome.',
    labels: {
      region,
      outcome: '`success`, or the code of the error; `other` for all codes after the first 64',
    },
  },
  ecrRequestDuration: {
    name: 'ecr_pull_secrets_ecr_request_duration_seconds',
    type: 'histogram',
    help: 'Duration of GetAuthorizationToken calls to Amazon ECR with retries, and with the calls to AWS STS for their credentials, by result.',
    labels: { result: '`success` or `failure`' },
  },
  credentialsOk: {
    name: 'ecr_pull_secrets_aws_credentials_ok',
    type: 'gauge',
    help: "Whether AWS accepted the process's own credentials when they were last used: 1 or 0. No value until that is known, or if registry rules never use them.",
    labels: { identity: '`default`, as in the log' },
  },
  tokenExpiration: {
    name: 'ecr_pull_secrets_token_expiration_timestamp_seconds',
    type: 'gauge',
    help: 'Unix time at which the first valid token of a region expires; if all tokens have expired, when the last one expired. Considers only managed Secrets that no other writer has changed.',
    labels: { region },
  },
  secretWrites: {
    name: 'ecr_pull_secrets_secret_writes_total',
    type: 'counter',
    help: 'Writes of pull Secrets, by outcome.',
    labels: { outcome: '`created`, `updated`, or the code of the error' },
  },
  renewals: {
    name: 'ecr_pull_secrets_renewals_total',
    type: 'counter',
    help: 'Renewals of pull Secrets, by reason and outcome.',
    labels: {
      reason: '[reason of the renewal](reasons.md#renewal)',
      outcome: '`renewed`, or the code of the error',
    },
  },
  renewalsDue: {
    name: 'ecr_pull_secrets_renewals_due',
    type: 'gauge',
    help: 'Namespaces whose pull Secret is due for renewal or being renewed.',
    labels: unlabeled,
  },
  renewalLateness: {
    name: 'ecr_pull_secrets_renewal_lateness_seconds',
    type: 'gauge',
    help: 'How long the renewal that is most overdue has been due; 0 if none is. Considers tokens in managed Secrets that no other writer has changed.',
    labels: unlabeled,
  },
  failingHosts: {
    name: 'ecr_pull_secrets_failing_hosts',
    type: 'gauge',
    help: 'Hosts whose token could not be stored or renewed in time, by whether the failure is permanent. A host counts once in each namespace.',
    labels: {
      permanent:
        '`true`: retrying does not help, you have to change something; `false`: the failure may resolve itself',
    },
  },
  unmanagedSecrets: {
    name: 'ecr_pull_secrets_unmanaged_secrets',
    type: 'gauge',
    help: 'Namespaces in which an unmanaged Secret has the name of the pull Secret, so that tokens of hosts that the namespace needs cannot be stored. Without Secrets that are unmanaged on purpose (`ecr-pull-secrets.io/managed: "false"`).',
    labels: unlabeled,
  },
  fullSecrets: {
    name: 'ecr_pull_secrets_full_secrets',
    type: 'gauge',
    help: 'Namespaces whose pull Secret has no room for a host that a pod requested.',
    labels: unlabeled,
  },
  hostsDropped: {
    name: 'ecr_pull_secrets_hosts_dropped_total',
    type: 'counter',
    help: 'Hosts removed from pull Secrets to make room or because they never received a token, by reason.',
    labels: {
      reason:
        '`expired-request`: it never received a token; `secret-full`: another host needed the room; `denied`: a rule denies it; `unconfigured`: it is no longer configured, and its token has expired',
    },
  },
  unstoredHostsForgotten: {
    name: 'ecr_pull_secrets_unstored_hosts_forgotten_total',
    type: 'counter',
    help: 'Requested hosts that could not be stored and are no longer retried, by reason.',
    labels: {
      reason:
        '`limit`: too many such hosts; `expired`: not requested for `secrets.forgetAfter`; `denied`: a rule denies them',
    },
  },
  uninjectedPods: {
    name: 'ecr_pull_secrets_uninjected_pods',
    type: 'gauge',
    help: 'Pending pods with ECR images in selected namespaces that have no reference to the pull Secret, as of the last complete check.',
    labels: unlabeled,
  },
  catchUpRounds: {
    name: 'ecr_pull_secrets_catch_up_rounds_total',
    type: 'counter',
    help: 'Checks of all pending pods, by outcome.',
    labels: { outcome: '`completed`, or the code of the error' },
  },
  evictedPods: {
    name: 'ecr_pull_secrets_pod_evictions_total',
    type: 'counter',
    help: 'Deletions of pods without a reference to the pull Secret, by outcome.',
    labels: {
      outcome:
        '`deleted`; `changed`: the pod changed or was deleted in the meantime; or the code of the error',
    },
  },
  inSync: {
    name: 'ecr_pull_secrets_in_sync',
    type: 'gauge',
    help: 'Whether the cache of pull Secrets is in sync with the API server: 1 or 0.',
    labels: unlabeled,
  },
  watchFailures: {
    name: 'ecr_pull_secrets_watch_failures_total',
    type: 'counter',
    help: 'Failed list requests and failed watches, by the code of the error.',
    labels: { code: 'code of the error' },
  },
  invalidObjects: {
    name: 'ecr_pull_secrets_invalid_objects_total',
    type: 'counter',
    help: 'Objects that could not be parsed and are treated as unmanaged, by resource. Each object counts once.',
    labels: { resource: 'Kubernetes resource, for example `secrets`' },
  },
  apiRequests: {
    name: 'ecr_pull_secrets_api_requests',
    type: 'gauge',
    help: 'Requests to the Kubernetes API server, except watches, by state.',
    labels: {
      state:
        '`in-flight`; `slow`: in flight for longer than 2 s, also counted in `in-flight`; `waiting`: queued until others complete',
    },
  },
  apiRequestsDropped: {
    name: 'ecr_pull_secrets_api_requests_dropped_total',
    type: 'counter',
    help: 'Requests to the Kubernetes API server that were not sent because too many others were in flight.',
    labels: unlabeled,
  },
  certificateExpiration: {
    name: 'ecr_pull_secrets_certificate_expiration_timestamp_seconds',
    type: 'gauge',
    help: 'Unix time at which the serving certificate expires. No value until a certificate is served.',
    labels: { certificate: '`webhook`' },
  },
  logLinesDropped: {
    name: 'ecr_pull_secrets_log_lines_dropped_total',
    type: 'counter',
    help: 'Log lines dropped because standard output could not be written to.',
    labels: unlabeled,
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
