// What renewal plans, and by what it goes.
import type { Reason, ScheduleRules } from '../ecr/token-policy.ts';

/**
 * What the due hosts of a namespace have in common. Hosts with a valid token are renewed in a queue of their own: they never
 * wait for the others, which anyone who can create a pod can make up.
 */
export type DueKind =
  /** The stored tokens are still valid. */
  | 'valid'
  /** There is no token, or it has expired, or the Secret was deleted, or it could not be written. */
  | 'missing';

/** Hosts of one kind in a namespace's Secret that are to be renewed now. */
export interface Due {
  readonly namespace: string;
  readonly kind: DueKind;
  readonly reason: Reason | 'edited' | 'deleted';
  readonly hosts: readonly string[];
  /** When the first of these hosts' tokens expires, in ms since the epoch; infinite where none ever had one. */
  readonly expiresAt: number;
}

/** The code of a {@link HostFailure} that is none: a renewal went well, and came too soon after the last one. */
export const repeatedRenewalCode = 'mended';

/** What keeps a host from being renewed. Times are in ms since the epoch. */
export interface HostFailure {
  readonly code: string;
  /** A person has to change something. */
  readonly permanent: boolean;
  /** What happened and what can be done; holds nothing secret. */
  readonly message: string;
  readonly since: number;
  /** When the last try was. */
  readonly at: number;
  readonly retryAt: number;
  /** What failed; none: something that concerns no single namespace. */
  readonly cause?: 'token' | 'write' | undefined;
}

/** A host that should have been renewed by now. */
export interface Overdue {
  readonly namespace: string;
  readonly host: string;
  readonly kind: DueKind;
  /** When its token ends; undefined: it has none. */
  readonly expiresAt: number | undefined;
  readonly failure: HostFailure;
  /** It has no valid token, and the Secret cannot be written: pods fail now, and no token from elsewhere helps them. */
  readonly isUrgent?: boolean;
}

export interface Plan {
  /** Of each kind the most urgent first. */
  readonly due: readonly Due[];
  readonly overdue: readonly Overdue[];
  /** When the next thing is due, in ms since the epoch; infinite where nothing is. */
  readonly nextAt: number;
}

export interface PlanRules extends ScheduleRules {
  /** Why the last call for a host's region failed; undefined: it did not. */
  regionFailure(host: string): HostFailure | undefined;
  /** Why the last try for hosts of this kind failed in a namespace, and when the next one is; undefined: it did not. */
  namespaceFailure(namespace: string, kind: DueKind): HostFailure | undefined;
  /** When this replica lately started a renewal in a namespace, by the monotonic clock in ms; undefined: it did not. */
  lastStartAt(namespace: string): number | undefined;
}
