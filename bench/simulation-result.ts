// What the simulation of 48 hours (test/renewal/simulation) records for docs/performance.md.

/** Time in simulated hours, and the remaining lifetimes of all stored tokens of a region in hours. Negative: expired. */
export type LifetimeSample = readonly [hour: number, shortest: number, median: number, longest: number];

export interface RegionResult {
  readonly region: string;
  readonly samples: readonly LifetimeSample[];
  /** Hours at which replicas fetched a token, and at which a call failed. */
  readonly fetched: readonly number[];
  readonly failed: readonly number[];
  readonly outages: readonly { readonly from: number; readonly until: number; readonly fault: string }[];
}

export interface SimulationResult {
  readonly seed: number;
  readonly hours: number;
  readonly namespaces: number;
  readonly regions: readonly RegionResult[];
}
