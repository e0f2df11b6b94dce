// Prometheus metrics of the process; `metric-definitions.ts` describes each of them.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client';
import { createBoundedLabeler, createRegionLabeler, maxRegionLabels } from './label-limits.ts';
import { metricDefinitions as definitions, type MetricDefinition } from './metric-definitions.ts';

/** Distinct error codes that get a label of their own. Codes come from the server that responds as AWS. */
const maxOutcomeLabels = 64;

/** Durations that are kept between two scrapes before they are added to the histogram. */
const maxBufferedDurations = 1024;

/** The state of the program, read at each scrape. */
interface MetricsState {
  isInSync(): boolean;
  /** Requests to the API server. Those that are slow are in flight too; `overloaded` counts those that were not sent. */
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
  /** How long the most overdue renewal has been due, in ms; 0 if none is. */
  renewalLatenessMs(): number;
  /** Whether AWS accepts the process's own credentials; undefined: not known. */
  areCredentialsValid(): boolean | undefined;
  /** When the serving certificate expires, in ms since the epoch; undefined until one is served. */
  certificateExpiresAt(): number | undefined;
  /**
   * Hosts whose token could not be stored or renewed in time: those of managed Secrets that no other writer has changed,
   * and those that pods requested.
   */
  failingHosts(): Iterable<{ readonly permanent: boolean }>;
  /** Log lines dropped since the process started. */
  droppedLogLines(): number;
  /** Namespaces in which an unmanaged Secret prevents tokens from being stored. */
  unmanagedSecrets(): number;
  /** Namespaces whose Secret has no room for a host that a pod requested. */
  fullSecrets(): number;
  /** Pods without a reference to the pull Secret. */
  uninjectedPods(): number;
}

/** One method for each event that is counted. */
export interface Metrics {
  review(outcome: string, reason: string): void;
  admissionSeconds(seconds: number): void;
  countEcrCall(region: string, outcome: string, seconds: number): void;
  countSecretWrite(outcome: string): void;
  countDroppedHosts(reason: string, hosts: number): void;
  countForgottenHosts(reason: string, hosts: number): void;
  countWatchFailure(code: string): void;
  countUnreadableObject(resource: string): void;
  countRenewal(reason: string, outcome: string): void;
  countCatchUpRound(outcome: string): void;
  countEviction(outcome: string): void;
  /** Sets what the gauges read. */
  setState(state: MetricsState): void;
  /** All metrics in Prometheus' text format. */
  render(): Promise<{ contentType: string; text: string }>;
}

/** Reads the state at a scrape; undefined before {@link Metrics.setState}. */
type ReadState = () => MetricsState | undefined;

/** Creates the metrics in a registry of their own, so that a process can have several. */
export function createPrometheusMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  let state: MetricsState | undefined;
  collectDefaultMetrics({ register: registry });
  registerStateMetrics(registers, () => state);
  return {
    ...createAdmissionMetrics(registers),
    ...createEventCounters(registers),
    setState: (newState) => {
      state = newState;
    },
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function describe<Label extends string>({ name, help, labels }: MetricDefinition<Label>) {
  return { name, help, labelNames: Object.keys(labels) as Label[] };
}

/**
 * Buffers what every pod adds, and hands it to the client library at the scrape or when the buffer is full: one by one, that
 * would take a tenth of an admission's CPU time.
 */
function createAdmissionMetrics(registers: Registry[]): Pick<Metrics, 'review' | 'admissionSeconds'> {
  /** Outcome → reason → count. */
  const pendingCounts = new Map<string, Map<string, number>>();
  new Counter({
    ...describe(definitions.admissionRequests),
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
    ...describe(definitions.admissionRequestDuration),
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

function createEventCounters(registers: Registry[]) {
  const ecrRequests = new Counter({ ...describe(definitions.ecrRequests), registers });
  const ecrDuration = new Histogram({
    ...describe(definitions.ecrRequestDuration),
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const secretWrites = new Counter({ ...describe(definitions.secretWrites), registers });
  const hostsDropped = new Counter({ ...describe(definitions.hostsDropped), registers });
  const hostsForgotten = new Counter({ ...describe(definitions.unstoredHostsForgotten), registers });
  const watchFailures = new Counter({ ...describe(definitions.watchFailures), registers });
  const invalidObjects = new Counter({ ...describe(definitions.invalidObjects), registers });
  const renewals = new Counter({ ...describe(definitions.renewals), registers });
  const catchUpRounds = new Counter({ ...describe(definitions.catchUpRounds), registers });
  const evictedPods = new Counter({ ...describe(definitions.evictedPods), registers });
  const regionLabel = createRegionLabeler();
  const outcomeLabel = createBoundedLabeler(maxOutcomeLabels);
  return {
    countEcrCall: (region, outcome, seconds) => {
      ecrRequests.inc({ region: regionLabel(region, outcome), outcome: outcomeLabel(outcome) });
      ecrDuration.observe({ result: outcome === 'success' ? 'success' : 'failure' }, seconds);
    },
    countSecretWrite: (outcome) => secretWrites.inc({ outcome }),
    countDroppedHosts: (reason, hosts) => hostsDropped.inc({ reason }, hosts),
    countForgottenHosts: (reason, hosts) => hostsForgotten.inc({ reason }, hosts),
    countWatchFailure: (code) => watchFailures.inc({ code }),
    countUnreadableObject: (resource) => invalidObjects.inc({ resource }),
    countRenewal: (reason, outcome) => renewals.inc({ reason, outcome }),
    countCatchUpRound: (outcome) => catchUpRounds.inc({ outcome }),
    countEviction: (outcome) => evictedPods.inc({ outcome }),
  } satisfies Partial<Metrics>;
}

function registerStateMetrics(registers: Registry[], readState: ReadState): void {
  registerGauge(registers, definitions.inSync, () => (readState()?.isInSync() === true ? 1 : 0));
  registerGauge(registers, definitions.renewalsDue, () => readState()?.due() ?? 0);
  registerGauge(registers, definitions.renewalLateness, () => (readState()?.renewalLatenessMs() ?? 0) / 1000);
  registerGauge(registers, definitions.unmanagedSecrets, () => readState()?.unmanagedSecrets() ?? 0);
  registerGauge(registers, definitions.fullSecrets, () => readState()?.fullSecrets() ?? 0);
  registerGauge(registers, definitions.uninjectedPods, () => readState()?.uninjectedPods() ?? 0);
  registerStateCounter(
    registers,
    definitions.apiRequestsDropped,
    () => readState()?.apiCalls().overloaded ?? 0,
  );
  registerStateCounter(registers, definitions.logLinesDropped, () => readState()?.droppedLogLines() ?? 0);
  new Gauge({
    ...describe(definitions.apiRequests),
    registers,
    collect() {
      const { inFlight = 0, slow = 0, waiting = 0 } = readState()?.apiCalls() ?? {};
      this.set({ state: 'in-flight' }, inFlight);
      this.set({ state: 'slow' }, slow);
      this.set({ state: 'waiting' }, waiting);
    },
  });
  new Gauge({
    ...describe(definitions.failingHosts),
    registers,
    collect() {
      const counts = { true: 0, false: 0 };
      for (const { permanent } of readState()?.failingHosts() ?? []) {
        counts[`${permanent}`] += 1;
      }
      this.set({ permanent: 'true' }, counts.true);
      this.set({ permanent: 'false' }, counts.false);
    },
  });
  // These have a label because a gauge without one has the value 0 from the start.
  new Gauge({
    ...describe(definitions.credentialsOk),
    registers,
    collect() {
      this.reset();
      const areValid = readState()?.areCredentialsValid();
      if (areValid !== undefined) {
        this.set({ identity: 'default' }, areValid ? 1 : 0);
      }
    },
  });
  new Gauge({
    ...describe(definitions.certificateExpiration),
    registers,
    collect() {
      this.reset();
      const expiresAt = readState()?.certificateExpiresAt();
      if (expiresAt !== undefined) {
        this.set({ certificate: 'webhook' }, expiresAt / 1000);
      }
    },
  });
  const expirationLabel = createBoundedLabeler(maxRegionLabels);
  new Gauge({
    ...describe(definitions.tokenExpiration),
    registers,
    collect() {
      this.reset();
      for (const [region, expiresAt] of readState()?.tokenExpiries(expirationLabel) ?? []) {
        this.set({ region }, expiresAt / 1000);
      }
    },
  });
}

function registerGauge(registers: Registry[], definition: MetricDefinition<never>, read: () => number): void {
  new Gauge({
    ...describe(definition),
    registers,
    collect() {
      this.set(read());
    },
  });
}

/** A counter whose count is kept elsewhere. */
function registerStateCounter(
  registers: Registry[],
  definition: MetricDefinition<never>,
  read: () => number,
): void {
  new Counter({
    ...describe(definition),
    registers,
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}
