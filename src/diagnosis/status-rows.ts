// Makes the rows of the status from the pull Secrets and the pods: one for each host, Secret or namespace that needs attention. Pure.
import { formatIdentity, type HostIdentity } from './host-identity.ts';
import type { UninjectedPodNames } from './pod-usage.ts';
import { type HostState, type HostStatus, hostStates, type SecretStatus } from './secret-states.ts';

/** The states of rows, the worst first. */
export const rowStates = [
  ...(['expired', 'failing', 'wrong-type', 'unmanaged', 'waiting'] as const),
  /** Pods that would get the reference now, and do not have it. */
  'uninjected',
  ...(['denied', 'edited', 'due', 'unconfigured', 'opted-out', 'valid'] as const),
] as const;

export type RowState = (typeof rowStates)[number];

export interface StatusRow {
  readonly namespace: string;
  /** Undefined: the row is about the whole Secret. */
  readonly host: string | undefined;
  readonly state: RowState;
  /** When the token expires, in ms since the epoch. */
  readonly expiresAt: number | undefined;
  /** Since when a host without a token has waited, in ms since the epoch. */
  readonly waitingSince: number | undefined;
  /** Number of pods that use the host, or that lack the reference; undefined: not known. */
  readonly pods: number | undefined;
  /** Names of pods that lack the reference, at most some. */
  readonly podNames: readonly string[] | undefined;
  readonly identity: HostIdentity | undefined;
  readonly error: string | undefined;
}

/** Which rows to keep; an empty list keeps all. */
export interface RowFilter {
  matchesHost(host: string): boolean;
  /** Whether rows without a host are kept. */
  readonly keepsSecrets: boolean;
  readonly states: readonly RowState[];
}

export interface StatusInput {
  readonly secrets: Iterable<SecretStatus>;
  countPods(namespace: string, host: string): number | undefined;
  readonly uninjected: ReadonlyMap<string, UninjectedPodNames>;
}

/** The rows, the worst state first, then by namespace and host. */
export function createStatusRows(
  { secrets, countPods, uninjected }: StatusInput,
  filter: RowFilter,
): StatusRow[] {
  const rows: StatusRow[] = [];
  const add = (row: StatusRow) => {
    if (isKept(row, filter)) {
      rows.push(row);
    }
  };
  for (const secret of secrets) {
    if (secret.condition !== 'managed' && secret.condition !== 'missing') {
      add(describeSecret(secret, secret.condition));
    }
    for (const host of secret.hosts) {
      add(describeHost(secret.namespace, host, countPods(secret.namespace, host.host)));
    }
  }
  for (const [namespace, pods] of uninjected) {
    add(describeUninjected(namespace, pods));
  }
  return rows.sort(compareRows);
}

function isKept({ host, state }: StatusRow, { matchesHost, keepsSecrets, states }: RowFilter): boolean {
  return (
    (states.length === 0 || states.includes(state)) && (host === undefined ? keepsSecrets : matchesHost(host))
  );
}

const emptyRow = {
  host: undefined,
  expiresAt: undefined,
  waitingSince: undefined,
  pods: undefined,
  podNames: undefined,
  identity: undefined,
  error: undefined,
};

function describeSecret(
  { namespace, detail }: SecretStatus,
  state: Exclude<SecretStatus['condition'], 'managed' | 'missing'>,
): StatusRow {
  return { ...emptyRow, namespace, state, error: detail };
}

function describeHost(namespace: string, status: HostStatus, pods: number | undefined): StatusRow {
  const { host, state, expiresAt, waitingSince, identity, error } = status;
  return { ...emptyRow, namespace, host, state, expiresAt, waitingSince, pods, identity, error };
}

function describeUninjected(namespace: string, { count, names, hosts }: UninjectedPodNames): StatusRow {
  const [host] = hosts;
  return {
    ...emptyRow,
    namespace,
    host: hosts.size === 1 ? host : undefined,
    state: 'uninjected',
    pods: count,
    podNames: names,
    error: 'these pods have no reference to the pull Secret; recreate them',
  };
}

const ranks: ReadonlyMap<string, number> = new Map(rowStates.map((state, index) => [state, index]));

function compareRows(a: StatusRow, b: StatusRow): number {
  return (
    (ranks.get(a.state) ?? 0) - (ranks.get(b.state) ?? 0) ||
    compareText(a.namespace, b.namespace) ||
    compareText(a.host ?? '', b.host ?? '')
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How many hosts and namespaces there are, and what is wrong with them. */
export interface StatusSummary {
  readonly namespaces: number;
  readonly hosts: number;
  /** Only states that occur. */
  readonly states: Readonly<Partial<Record<RowState, number>>>;
  readonly uninjectedPods: number;
}

/** Counts everything in the scope, whatever the filter leaves out. */
export function summarizeStatus(
  counts: Readonly<Record<HostState, number>>,
  { secrets, uninjected }: StatusInput,
): StatusSummary {
  const conditions = new Map<RowState, number>();
  let namespaces = 0;
  for (const { condition } of secrets) {
    namespaces += 1;
    if (condition !== 'managed' && condition !== 'missing') {
      conditions.set(condition, (conditions.get(condition) ?? 0) + 1);
    }
  }
  const numbers = rowStates.map(
    (state) => [state, conditions.get(state) ?? findCount(counts, state)] as const,
  );
  return {
    namespaces,
    hosts: Object.values(counts).reduce((sum, number) => sum + number, 0),
    states: Object.fromEntries(numbers.filter(([, number]) => number > 0)),
    uninjectedPods: [...uninjected.values()].reduce((sum, { count }) => sum + count, 0),
  };
}

function findCount(counts: Readonly<Record<HostState, number>>, state: RowState): number {
  const hostState = hostStates.find((known) => known === state);
  return hostState === undefined ? 0 : counts[hostState];
}

/** The row with times as text, for JSON. */
export function serializeRow(row: StatusRow): object {
  const { namespace, host, state, pods, podNames, identity, error } = row;
  return {
    ...{ namespace, host, state },
    expiresAt: toIsoTime(row.expiresAt),
    waitingSince: toIsoTime(row.waitingSince),
    ...{ pods, podNames },
    identity: identity && { ...identity, text: formatIdentity(identity) },
    error,
  };
}

function toIsoTime(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString().replace('.000Z', 'Z');
}
