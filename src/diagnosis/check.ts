// What a check of the diagnosis finds, and groups of checks. Pure.

/**
 * `ok`; `warning`: pods pull, but something is unusual or fails later; `failed`: pods do not pull, or soon do not; `skipped`: it
 * could not be checked, for example because the caller lacks a right.
 */
export type Outcome = 'ok' | 'warning' | 'failed' | 'skipped';

/** Holds nothing secret. */
export interface CheckResult {
  /** For programs, and a row of docs/reference/checks.md, such as `webhook-ca-bundle`. */
  readonly check: string;
  readonly outcome: Outcome;
  /** What was found and in which object: one sentence without a final period. */
  readonly summary: string;
  /** What follows from it for pods. */
  readonly meaning?: string | undefined;
  /** What the reader can do about it. */
  readonly remedy?: string | undefined;
  /** The page about it, as a path in docs/ with an optional heading: `how-to/certificates.md#rotate`. */
  readonly page?: string | undefined;
  /** Further objects or facts, one line each, and not more than a reader wants to see. */
  readonly details?: readonly string[] | undefined;
}

/** In the order in which doctor prints them. */
export const groupNames = [
  'configuration',
  'api-server',
  'webhook',
  'aws',
  'secrets',
  'pods',
  'provisioning',
] as const;

export type GroupName = (typeof groupNames)[number];

export interface CheckGroup {
  readonly name: GroupName;
  readonly checks: readonly CheckResult[];
}
