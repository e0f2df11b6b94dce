import { KubeError } from '../kube/errors.ts';
import { type UnavailableHost, UnmanagedSecretError } from '../pull-secrets/unavailable-host.ts';

/** Something that did not work in a namespace. Holds nothing secret. */
export interface Failure {
  /** A host, or `ServiceAccount NAME`, or `Secret NAME`. */
  readonly what: string;
  /** For decisions. */
  readonly code: string;
  /** For people. */
  readonly text: string;
}

/** What a sync came to in one namespace. */
export interface NamespaceResult {
  readonly namespace: string;
  readonly secret: 'updated' | 'unchanged' | 'failed';
  readonly serviceAccounts: readonly {
    readonly name: string;
    readonly reference: 'added' | 'unchanged' | 'failed';
  }[];
  readonly failures: readonly Failure[];
}

export interface SyncResult {
  readonly namespaces: readonly NamespaceResult[];
  /** Namespaces in which something failed. */
  readonly failed: number;
}

/** What an uninstall did, or on a dry run would do, with one object. */
export interface Removal {
  readonly kind: 'Secret' | 'ServiceAccount';
  readonly namespace: string;
  readonly name: string;
  /** Of a ServiceAccount only the reference goes. */
  readonly outcome: 'removed' | 'would-remove' | 'left' | 'failed';
  /** Why it was left, or failed. */
  readonly failure?: Failure;
}

export interface UninstallResult {
  readonly dryRun: boolean;
  readonly removals: readonly Removal[];
  /** Objects that should have gone and did not. */
  readonly failed: number;
}

/** What became of a host that the operator removes from a Secret. */
export interface HostRemoval {
  readonly host: string;
  /** `in-use` and `configured` hosts stay. */
  readonly outcome: 'removed' | 'would-remove' | 'not-found' | 'in-use' | 'configured';
  /** A pod that names the host. */
  readonly pod?: string;
}

export interface RemoveHostsResult {
  readonly namespace: string;
  readonly dryRun: boolean;
  readonly hosts: readonly HostRemoval[];
  /** Hosts that stay although they were to be removed. */
  readonly failed: number;
}

/** @param shortfall why a host has no fresh token */
export function hostFailure({ host, code, text, message }: UnavailableHost): Failure {
  return { what: host, code, text: message ?? text };
}

/** The failure that an error is; one of no known kind is a bug and comes out as `internal-error`. */
export function failureOf(what: string, error: unknown): Failure {
  if (error instanceof KubeError || error instanceof UnmanagedSecretError) {
    return { what, code: error.code, text: error.message };
  }
  return { what, code: 'internal-error', text: 'internal error' };
}
