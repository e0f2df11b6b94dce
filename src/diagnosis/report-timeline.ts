// When the tokens in the pull Secrets expire, for the timeline of a report. Pure.

/** One host of one pull Secret. */
export interface TimelineEntry {
  readonly namespace: string;
  readonly host: string;
  /** When the token expires, in ms since 1970; undefined if the Secret holds no token for the host. */
  readonly expiresAt: number | undefined;
  /** Why the token could not be fetched or renewed last, without secrets; undefined if nothing failed. */
  readonly failure?: string | undefined;
}

/** In any order. */
export type ReportTimeline = readonly TimelineEntry[];
