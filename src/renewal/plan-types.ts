// Types of the renewal plan: what is due, what is overdue, and the rules that the plan follows.
import type { DueReason, HostRule, ScheduleRules } from '../ecr/token-policy.ts';

/**
 * Whether the due hosts of a namespace have valid tokens. Hosts with a valid token are renewed in a queue of their own, so that
 * they never wait for the others: anyone who can create a pod can add any number of hosts without a token.
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
  readonly reason: DueReason | 'edited' | 'deleted';
  readonly hosts: readonly string[];
  /** When the first of these hosts' tokens expires, in ms since the epoch; infinite if none ever had a token. */
  readonly expiresAt: number;
}

/** The code of a {@link HostFailure} for a renewal that succeeded, but came too soon after the last one. */
export const flappingCode = 'flapping';

/** What prevents a host from being renewed. Times are in ms since the epoch. */
export interface HostFailure {
  readonly code: string;
  /** Retrying does not help; the operator has to change something. */
  readonly permanent: boolean;
  /** What happened and what to do about it; contains no secrets. */
  readonly message: string;
  readonly since: number;
  /** When the last attempt was made. */
  readonly at: number;
  readonly retryAt: number;
  /** What failed in this namespace; undefined: the failure concerns more than one namespace. */
  readonly cause?: 'token' | 'write' | undefined;
}

/** A host that should have been renewed by now, or that cannot be renewed until it is known which identity applies. */
export interface Overdue {
  readonly namespace: string;
  readonly host: string;
  readonly kind: DueKind;
  /** When its token expires, in ms since the epoch; undefined: it has no token. */
  readonly expiresAt: number | undefined;
  readonly failure: HostFailure;
  /** The host has no valid token and the Secret cannot be written, so image pulls fail now. */
  readonly isUrgent?: boolean;
  /** It is not known which identity applies, so nothing is attempted. */
  readonly isUnresolved?: boolean;
}

export interface Plan {
  /** The most urgent first within each kind. */
  readonly due: readonly Due[];
  readonly overdue: readonly Overdue[];
  /** When the next host becomes due, in ms since the epoch; infinite if none does. */
  readonly nextAt: number;
  /** When the renewal that is most overdue became due, in ms since the epoch; infinite if none is due. */
  readonly lateSince: number;
}

export interface PlanRules extends ScheduleRules {
  /**
   * Why the last token call for the host's region, with the identity of the namespace, failed; undefined: it succeeded. Called
   * only for hosts whose identity is known.
   */
  readonly regionFailure: HostRule<HostFailure>;
  /** Why the last renewal of this kind of hosts failed in a namespace, and when to retry; undefined: it succeeded. */
  namespaceFailure(namespace: string, kind: DueKind): HostFailure | undefined;
  /** When this replica last started a renewal in a namespace, in ms of the monotonic clock; undefined: not recently. */
  lastStartAt(namespace: string): number | undefined;
}
