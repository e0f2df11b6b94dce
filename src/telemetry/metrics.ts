import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client';

/** Regions come from image names, which anybody may write: past this many, a label says `other`. */
const maxRegionLabels = 64;

/** Of these, how many regions have a label that have not given a token: nobody's made-up regions take those of others. */
const maxUnprovenRegionLabels = 16;

/** Codes of failures come from whatever answers as AWS; past this many, a label says `other`. */
const maxOutcomeLabels = 64;

/** Durations that are noted between two scrapes before they are told. */
const maxBufferedDurations = 1024;

/** What the metrics show of the state of the program, asked for at each scrape. */
interface MetricsState {
  isInSync(): boolean;
  /** Calls to the API server: how many are in flight, how many of these are slow, and how many wait; and how many were not sent. */
  apiCalls(): {
    readonly inFlight: number;
    readonly slow: number;
    readonly waiting: number;
    readonly overloaded: number;
  };
  /** When the stored tokens of each region expire, in ms since the epoch, by the label of the region. */
  tokenExpiries(labelOf: (region: string) => string): ReadonlyMap<string, number>;
  /** Namespaces whose Secret is due for renewal. */
  due(): number;
  /** Last moment of the served certificate's validity, ms since the epoch; undefined: none is served yet. */
  certificateExpiresAt(): number | undefined;
  /**
   * Hosts that should have been stored or renewed by now and could not be: of managed Secrets that nobody else has changed,
   * and those that pods requested.
   */
  failingHosts(): Iterable<{ readonly permanent: boolean }>;
  /** Log lines dropped since the process started. */
  droppedLogLines(): number;
  /** Namespaces whose Secret has no room for a host that a pod requested. */
  fullSecrets(): number;
}

/** The program's metrics, each reached by the one verb that counts it. */
export interface Metrics {
  review(outcome: string, reason: string): void;
  admissionSeconds(seconds: number): void;
  countEcrCall(region: string, outcome: string): void;
  countSecretWrite(outcome: string): void;
  countDroppedHosts(reason: string, hosts: number): void;
  countForgottenHosts(reason: string, hosts: number): void;
  countWatchFailure(code: string): void;
  countUnreadableObject(resource: string): void;
  countRenewal(reason: string, outcome: string): void;
  /** Gives the gauges their source. */
  setState(state: MetricsState): void;
  /** All of it in Prometheus' text format. */
  render(): Promise<{ contentType: string; text: string }>;
}

/** Metrics of one process, in a registry of their own. */
export function createPrometheusMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const admissions = createAdmissionMetrics(registers);
  const ecrCalls = new Counter({
    name: 'ecr_pull_secrets_ecr_calls_total',
    help: 'Calls of GetAuthorizationToken, by region and outcome: success, or the code of the failure.',
    labelNames: ['region', 'outcome'],
    registers,
  });
  const secretWrites = new Counter({
    name: 'ecr_pull_secrets_secret_writes_total',
    help: 'Writes of pull Secrets, by outcome: created, updated, or the code of the failure.',
    labelNames: ['outcome'],
    registers,
  });
  const hostsDropped = new Counter({
    name: 'ecr_pull_secrets_hosts_dropped_total',
    help: 'Hosts dropped from a pull Secret, by reason: expired-request (it never received a token) or secret-full (another host needed the room).',
    labelNames: ['reason'],
    registers,
  });
  const unstoredForgotten = new Counter({
    name: 'ecr_pull_secrets_unstored_hosts_forgotten_total',
    help: 'Requested hosts that could not be stored and are no longer retried, by reason: limit (too many hosts) or expired (not requested for secrets.forgetAfter).',
    labelNames: ['reason'],
    registers,
  });
  const watchFailures = new Counter({
    name: 'ecr_pull_secrets_watch_failures_total',
    help: 'Failed lists and broken watches, by the code of the failure.',
    labelNames: ['code'],
    registers,
  });
  const unreadableObjects = new Counter({
    name: 'ecr_pull_secrets_unreadable_objects_total',
    help: 'Objects that could not be parsed and are treated as unmanaged, by resource; each object counts once.',
    labelNames: ['resource'],
    registers,
  });
  const renewals = new Counter({
    name: 'ecr_pull_secrets_renewals_total',
    help: 'Renewals of pull Secrets, by the reason and by outcome: renewed, or the code of what is missing.',
    labelNames: ['reason', 'outcome'],
    registers,
  });
  const state: { current: MetricsState | undefined } = { current: undefined };
  registerGauges(registers, state);
  registerDroppedLogLines(registers, state);
  registerApiCalls(registers, state);
  const regionLabel = createRegionLabeler();
  const outcomeLabel = createBoundedLabeler(maxOutcomeLabels);
  return {
    ...admissions,
    countEcrCall: (region, outcome) =>
      ecrCalls.inc({ region: regionLabel(region, outcome), outcome: outcomeLabel(outcome) }),
    countSecretWrite: (outcome) => secretWrites.inc({ outcome }),
    countDroppedHosts: (reason, hosts) => hostsDropped.inc({ reason }, hosts),
    countForgottenHosts: (reason, hosts) => unstoredForgotten.inc({ reason }, hosts),
    countWatchFailure: (code) => watchFailures.inc({ code }),
    countUnreadableObject: (resource) => unreadableObjects.inc({ resource }),
    countRenewal: (reason, outcome) => renewals.inc({ reason, outcome }),
    setState: (observed) => {
      state.current = observed;
    },
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

/**
 * What is counted for every pod is only noted at once, and told to the client library at the scrape, or when many have
 * come together: one by one that would be a tenth of an admission's CPU.
 */
function createAdmissionMetrics(registers: Registry[]): Pick<Metrics, 'review' | 'admissionSeconds'> {
  /** Outcome → reason → how often. */
  const pendingCounts = new Map<string, Map<string, number>>();
  new Counter({
    name: 'ecr_pull_secrets_reviews_total',
    help: 'Admission reviews answered, by outcome and reason. Outcome refused: requests and connections refused before they were known to be reviews.',
    labelNames: ['outcome', 'reason'],
    registers,
    collect() {
      for (const [outcome, reasons] of pendingCounts) {
        for (const [reason, times] of reasons) {
          this.inc({ outcome, reason }, times);
        }
      }
      pendingCounts.clear();
    },
  });
  const durations: number[] = [];
  const observeAll = (histogram: Histogram) => {
    for (const seconds of durations) {
      histogram.observe(seconds);
    }
    durations.length = 0;
  };
  const histogram = new Histogram({
    name: 'ecr_pull_secrets_admission_duration_seconds',
    help: 'Time from an admission review read to its answer.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
    collect() {
      observeAll(this);
    },
  });
  return {
    review: (outcome, reason) => {
      let reasons = pendingCounts.get(outcome);
      if (reasons === undefined) {
        reasons = new Map();
        pendingCounts.set(outcome, reasons);
      }
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    },
    admissionSeconds: (seconds) => {
      if (durations.push(seconds) === maxBufferedDurations) {
        observeAll(histogram);
      }
    },
  };
}

function registerGauges(registers: Registry[], state: { current: MetricsState | undefined }): void {
  new Gauge({
    name: 'ecr_pull_secrets_in_sync',
    help: '1 while the view of the pull Secrets follows the API server, 0 otherwise.',
    registers,
    collect() {
      this.set(state.current?.isInSync() === true ? 1 : 0);
    },
  });
  new Gauge({
    name: 'ecr_pull_secrets_renewals_due',
    help: 'Namespaces whose pull Secret is due for renewal or being renewed.',
    registers,
    collect() {
      this.set(state.current?.due() ?? 0);
    },
  });
  new Gauge({
    name: 'ecr_pull_secrets_failing_hosts',
    help: 'Hosts in namespaces that should have been stored or renewed and could not be; permanent: retrying does not help, the operator has to change something.',
    labelNames: ['permanent'],
    registers,
    collect() {
      const counts = { true: 0, false: 0 };
      for (const { permanent } of state.current?.failingHosts() ?? []) {
        counts[`${permanent}`] += 1;
      }
      this.set({ permanent: 'true' }, counts.true);
      this.set({ permanent: 'false' }, counts.false);
    },
  });
  const expiryLabel = createBoundedLabeler(maxRegionLabels);
  new Gauge({
    name: 'ecr_pull_secrets_full_secrets',
    help: 'Namespaces whose pull Secret has no room for a host that a pod requested.',
    registers,
    collect() {
      this.set(state.current?.fullSecrets() ?? 0);
    },
  });
  new Gauge({
    name: 'ecr_pull_secrets_certificate_expiry_timestamp_seconds',
    help: 'Unix time at which the served certificate expires; no value before one is served.',
    registers,
    // without a label, a gauge has a value of 0 from the start
    labelNames: ['certificate'],
    collect() {
      this.reset();
      const expiresAt = state.current?.certificateExpiresAt();
      if (expiresAt !== undefined) this.set({ certificate: 'webhook' }, expiresAt / 1000);
    },
  });
  new Gauge({
    name: 'ecr_pull_secrets_token_end_timestamp_seconds',
    help: 'Unix time of the earliest expiry among the unexpired tokens of a region, or of the latest expiry if all have expired. Only managed Secrets that nothing else has changed.',
    labelNames: ['region'],
    registers,
    collect() {
      this.reset();
      for (const [region, end] of state.current?.tokenExpiries(expiryLabel) ?? []) {
        this.set({ region }, end / 1000);
      }
    },
  });
}

function registerApiCalls(registers: Registry[], state: { current: MetricsState | undefined }): void {
  new Gauge({
    name: 'ecr_pull_secrets_api_calls',
    help: 'Calls to the API server, without watches, by state: in-flight, slow (of those in flight, longer than 2 s) or waiting (for others to end).',
    labelNames: ['state'],
    registers,
    collect() {
      const { inFlight = 0, slow = 0, waiting = 0 } = state.current?.apiCalls() ?? {};
      this.set({ state: 'in-flight' }, inFlight);
      this.set({ state: 'slow' }, slow);
      this.set({ state: 'waiting' }, waiting);
    },
  });
  new Counter({
    name: 'ecr_pull_secrets_api_calls_overloaded_total',
    help: 'Calls to the API server that were not sent because too many others were in flight.',
    registers,
    collect() {
      this.reset();
      this.inc(state.current?.apiCalls().overloaded ?? 0);
    },
  });
}

/** A counter whose count is kept by the log. */
function registerDroppedLogLines(registers: Registry[], state: { current: MetricsState | undefined }): void {
  new Counter({
    name: 'ecr_pull_secrets_log_lines_dropped_total',
    help: 'Log lines dropped because standard output could not be written to.',
    registers,
    collect() {
      this.reset();
      this.inc(state.current?.droppedLogLines() ?? 0);
    },
  });
}

/** Gives the labels of regions by which calls are counted. */
function createRegionLabeler(): (region: string, outcome: string) => string {
  const provenLabel = createBoundedLabeler(maxRegionLabels - maxUnprovenRegionLabels);
  const unprovenLabel = createBoundedLabeler(maxUnprovenRegionLabels);
  const proven = new Set<string>();
  return (region, outcome) => {
    if (outcome === 'success' && provenLabel(region) === region) {
      proven.add(region);
    }
    return proven.has(region) ? region : unprovenLabel(region);
  };
}

/** Passes the first `most` distinct labels through, and gives `other` for all that come later. */
function createBoundedLabeler(maxLabels: number): (label: string) => string {
  const known = new Set<string>();
  return (label) => {
    if (!known.has(label) && known.size < maxLabels) {
      known.add(label);
    }
    return known.has(label) ? label : 'other';
  };
}
