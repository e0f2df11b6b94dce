// What the commands that run once report, and failures in it.
import { KubeError } from '../kube/errors.ts';
import { type UnavailableHost, UnmanagedSecretError } from '../pull-secrets/unavailable-host.ts';
import type { InterruptSignal } from './interrupt.ts';

/** Something that failed. Holds nothing secret. */
export interface Failure {
  /** A host, `ServiceAccount NAME`, `Secret NAME`, or the flag or key that selects no namespace. */
  readonly what: string;
  /** For programs. */
  readonly code: string;
  /** For readers. */
  readonly text: string;
}

/**
 * The result of a sync in one namespace. `interrupted`: the command was interrupted before that was done. `denied`: rules deny the
 * namespace the tokens of all registries, so it gets no references either.
 */
export interface NamespaceResult {
  readonly namespace: string;
  readonly secret: 'updated' | 'unchanged' | 'denied' | 'failed' | 'interrupted';
  readonly serviceAccounts: readonly {
    readonly name: string;
    readonly reference: 'added' | 'unchanged' | 'failed' | 'interrupted';
  }[];
  readonly failures: readonly Failure[];
}

/** Of a command that was interrupted. */
interface Interruptible {
  /** The signal that interrupted the command. */
  readonly interrupted?: InterruptSignal;
}

export interface SyncResult extends Interruptible {
  readonly namespaces: readonly NamespaceResult[];
  /** Namespaces in which something failed. */
  readonly failed: number;
  /** Names and patterns that select no namespace. */
  readonly failures?: readonly Failure[];
}

/** What an uninstall did, or on a dry run would do, with one object. */
export interface Removal {
  readonly kind: 'Secret' | 'ServiceAccount';
  readonly namespace: string;
  readonly name: string;
  /** Of a ServiceAccount, only the reference is removed. */
  readonly outcome: 'removed' | 'would-remove' | 'skipped' | 'failed' | 'interrupted';
  /** Why it was skipped, or failed. */
  readonly failure?: Failure;
}

export interface UninstallResult extends Interruptible {
  readonly dryRun: boolean;
  readonly removals: readonly Removal[];
  /** Objects that should have been removed and were not. */
  readonly failed: number;
}

/** The outcome for a host that the operator removes from a Secret. */
export interface HostRemoval {
  readonly host: string;
  /** `in-use` and `configured` hosts stay. */
  readonly outcome: 'removed' | 'would-remove' | 'not-found' | 'in-use' | 'configured' | 'interrupted';
  /** A pod that names the host. */
  readonly pod?: string;
}

export interface RemoveHostsResult extends Interruptible {
  readonly namespace: string;
  readonly dryRun: boolean;
  readonly hosts: readonly HostRemoval[];
  /** Hosts that stay although they were to be removed. */
  readonly failed: number;
}

/** Converts the reason why a host has no fresh token to a failure. */
export function hostFailure({ host, code, text, message }: UnavailableHost): Failure {
  return { what: host, code, text: message ?? text };
}

/** Converts an error to a failure. An error of an unknown kind is a bug, and becomes `internal-error`. */
export function failureOf(what: string, error: unknown): Failure {
  if (error instanceof KubeError || error instanceof UnmanagedSecretError) {
    return { what, code: error.code, text: error.message };
  }
  return { what, code: 'internal-error', text: 'internal error' };
}
