// Determines the state of a pull Secret and of each of its hosts from the metadata. Pure.
import type { IdentityDecision } from '../ecr/identity.ts';
import { isOfIdentity } from '../ecr/identity.ts';
import type { RegistryResolver } from '../ecr/registry.ts';
import { type Freshness, isFresh, isUnexpired, type StoredLifetime } from '../ecr/token-policy.ts';
import type { FieldOwner } from '../kube/field-managers.ts';
import type { SecretMetadata } from '../kube/secret-metadata.ts';
import { hostsAnnotation, isOwnFieldManager, managedByLabel, productName } from '../labels.ts';
import { parseAnnotation, parseRequestTimes } from '../pull-secrets/hosts-annotation.ts';
import { dockerConfigKey, isIntact, isOptedOut, ownsSecret } from '../pull-secrets/ownership.ts';
import { describeIdentity, type HostIdentity } from './host-identity.ts';
import type { ReportedError } from './token-errors.ts';

/** The states of a host, the worst first. */
export const hostStates = [
  /** The token has expired. */
  'expired',
  /** There is no token, or it cannot be renewed, and the cause is known. */
  'failing',
  /** There is no token yet. */
  'waiting',
  /** A rule denies the tokens, so the host is about to be removed. */
  'denied',
  /** The token is valid, and its renewal is due. */
  'due',
  /** The host is no longer configured. Its token is valid until it expires, and is not renewed. */
  'unconfigured',
  'valid',
] as const;

export type HostState = (typeof hostStates)[number];

export interface HostStatus {
  readonly host: string;
  readonly state: HostState;
  /** When the stored token was issued and when it expires, in ms since the epoch; undefined: there is none. */
  readonly issuedAt: number | undefined;
  readonly expiresAt: number | undefined;
  /** Since when the host has waited for a token, in ms since the epoch; undefined: it has one, or the time is not known. */
  readonly waitingSince: number | undefined;
  readonly identity: HostIdentity;
  /** Why there is no token, or no newer one; undefined: nothing is known. */
  readonly error: string | undefined;
}

/** Whether pods that need a host cannot pull now. @param host undefined: the Secret does not name it */
export function lacksToken(host: Pick<HostStatus, 'expiresAt'> | undefined, now: number): boolean {
  return host?.expiresAt === undefined || !isUnexpired(host.expiresAt, now);
}

/** Whether the program writes a Secret, and whether it is as the program wrote it. */
export type SecretCondition =
  | 'managed'
  /** Another writer changed it, and the program has not restored it yet. */
  | 'edited'
  /** It lacks the label. */
  | 'unmanaged'
  /** It has another type than a pull Secret. */
  | 'wrong-type'
  /** It is unmanaged on purpose. */
  | 'opted-out'
  /** It does not exist, and an Event reports a host that could not be stored. */
  | 'missing';

export interface SecretStatus {
  readonly namespace: string;
  readonly condition: SecretCondition;
  /** Why it is in that condition; undefined for `managed` and `missing`. */
  readonly detail: string | undefined;
  /** It names as many hosts as it may. */
  readonly isFull: boolean;
  /** Empty for a Secret that is not managed. */
  readonly hosts: readonly HostStatus[];
}

/** What a Secret says about a host; undefined: it does not exist, or does not name the host. */
export function findHost(secret: SecretStatus | undefined, host: string): HostStatus | undefined {
  return secret?.hosts.find((one) => one.host === host);
}

export interface SecretRules {
  /** The wall clock in ms. */
  readonly now: number;
  readonly freshness: Freshness;
  /** Maximum number of hosts in one Secret. */
  readonly maxHosts: number;
  readonly resolveRegistry: RegistryResolver;
  identityOf(namespace: string, host: string): IdentityDecision;
  /** Whether the operator excluded a namespace, so that an unmanaged Secret in it is no failure. */
  isExcluded(namespace: string): boolean;
  /** The last error of a host that was reported since a time in ms since the epoch. */
  findError(namespace: string, host: string, since: number): ReportedError | undefined;
}

/** @param hasOtherType whether the Secret has another type than a pull Secret, which the metadata does not show */
export function classifySecret(
  secret: SecretMetadata,
  hasOtherType: boolean,
  rules: SecretRules,
): SecretStatus {
  const { namespace, labels, annotations, fieldOwners } = secret;
  if (hasOtherType || !ownsSecret(secret)) {
    const isDeliberate = isOptedOut(annotations) || rules.isExcluded(namespace);
    const condition = isDeliberate ? 'opted-out' : hasOtherType ? 'wrong-type' : 'unmanaged';
    return {
      namespace,
      condition,
      detail: describeUnmanaged(secret, hasOtherType),
      isFull: false,
      hosts: [],
    };
  }
  const annotation = annotations[hostsAnnotation];
  const { hosts, unconfigured } = parseAnnotation(annotation, rules.resolveRegistry);
  const requestedAt = parseRequestTimes(annotation, hosts);
  const edited = isIntact({ labels, fieldOwners }) ? undefined : describeEdit(secret);
  return {
    namespace,
    condition: edited === undefined ? 'managed' : 'edited',
    detail: edited,
    isFull: hosts.size >= rules.maxHosts,
    hosts: [
      ...[...hosts].map(([host, lifetime]) =>
        classifyHost({ namespace, host, lifetime, requestedAt: requestedAt.get(host) }, rules),
      ),
      ...[...unconfigured].map(([host, lifetime]) => describeUnconfigured(host, lifetime, rules)),
    ],
  };
}

/**
 * How old an Event may be that reports a host which no Secret names, in ms. The program reports a failure every hour, and the API
 * server deletes Events after an hour.
 */
const maxReportAgeMs = 65 * 60_000;

/**
 * Adds hosts that Events report and that the Secret does not name, because it could not be written or has no room.
 * @param status the Secret; undefined: there is none
 * @returns undefined if there is nothing to add
 */
export function addReportedHosts(
  namespace: string,
  status: SecretStatus | undefined,
  reported: ReadonlyMap<string, ReportedError>,
  rules: Pick<SecretRules, 'now' | 'identityOf' | 'resolveRegistry'>,
): SecretStatus | undefined {
  const isWritten = status === undefined || status.condition === 'managed' || status.condition === 'edited';
  const known = new Set(status?.hosts.map(({ host }) => host));
  const added = [...reported].flatMap(([host, { at, text }]): HostStatus[] =>
    known.has(host) || rules.now - at > maxReportAgeMs || rules.resolveRegistry(host) === undefined
      ? []
      : [
          {
            ...{ host, state: 'failing', error: text },
            ...{ issuedAt: undefined, expiresAt: undefined, waitingSince: undefined },
            identity: describeIdentity(rules.identityOf(namespace, host)),
          },
        ],
  );
  if (!isWritten || added.length === 0) {
    return undefined;
  }
  const base = status ?? { namespace, condition: 'missing', detail: undefined, isFull: false, hosts: [] };
  return { ...base, hosts: [...base.hosts, ...added] };
}

interface StoredHost {
  readonly namespace: string;
  readonly host: string;
  readonly lifetime: StoredLifetime | undefined;
  readonly requestedAt: number | undefined;
}

function classifyHost(
  { namespace, host, lifetime, requestedAt }: StoredHost,
  rules: SecretRules,
): HostStatus {
  const decision = rules.identityOf(namespace, host);
  const identity = describeIdentity(decision);
  const since = lifetime?.issuedAt ?? requestedAt ?? Number.NEGATIVE_INFINITY;
  const error =
    identity.kind === 'unresolved'
      ? identity.cause
      : isSettled(lifetime, decision, rules)
        ? undefined
        : rules.findError(namespace, host, since)?.text;
  return {
    host,
    state: determineState(lifetime, decision, error, rules),
    issuedAt: lifetime?.issuedAt,
    expiresAt: lifetime?.expiresAt,
    waitingSince: lifetime === undefined ? requestedAt : undefined,
    identity,
    error,
  };
}

/**
 * Whether the stored token needs no renewal yet. An error of such a host is of the time before the token was stored, because a token
 * in memory can be older than the Secret.
 */
function isSettled(
  lifetime: StoredLifetime | undefined,
  decision: IdentityDecision,
  { now, freshness }: SecretRules,
): boolean {
  const hasOtherIdentity = decision.access === 'allowed' && !isOfIdentity(lifetime?.identity, decision);
  return lifetime !== undefined && !hasOtherIdentity && isFresh(lifetime, now, freshness);
}

function determineState(
  lifetime: StoredLifetime | undefined,
  decision: IdentityDecision,
  error: string | undefined,
  rules: SecretRules,
): HostState {
  if (decision.access === 'denied') {
    return 'denied';
  }
  if (lifetime === undefined) {
    return error === undefined ? 'waiting' : 'failing';
  }
  if (!isUnexpired(lifetime.expiresAt, rules.now)) {
    return 'expired';
  }
  if (error !== undefined) {
    return 'failing';
  }
  return isSettled(lifetime, decision, rules) ? 'valid' : 'due';
}

function describeUnconfigured(
  host: string,
  { issuedAt, expiresAt }: StoredLifetime,
  { now }: SecretRules,
): HostStatus {
  return {
    host,
    state: isUnexpired(expiresAt, now) ? 'unconfigured' : 'expired',
    issuedAt,
    expiresAt,
    waitingSince: undefined,
    identity: { kind: 'own' },
    error: 'the host is not configured any more, so its token is not renewed',
  };
}

function describeUnmanaged({ labels }: SecretMetadata, hasOtherType: boolean): string {
  if (hasOtherType) {
    return 'its type is not kubernetes.io/dockerconfigjson';
  }
  const value = labels[managedByLabel];
  return value === undefined
    ? `it has no label ${managedByLabel}=${productName}`
    : `its label ${managedByLabel} is ${value}`;
}

/** Maximum number of characters of the name of a field manager that is shown. */
const maxManagerLength = 60;

function describeEdit({ labels, fieldOwners }: SecretMetadata): string {
  if (labels[managedByLabel] !== productName) {
    return `another writer changed its label ${managedByLabel}`;
  }
  const writer = findWriter(fieldOwners);
  return writer === undefined
    ? 'another writer removed its content'
    : `${writer.slice(0, maxManagerLength)} changed its content`;
}

function findWriter(owners: readonly FieldOwner[]): string | undefined {
  return owners.find(
    ({ manager, data, annotations }) =>
      !isOwnFieldManager(manager) &&
      (data.includes(dockerConfigKey) || annotations.includes(hostsAnnotation)),
  )?.manager;
}
