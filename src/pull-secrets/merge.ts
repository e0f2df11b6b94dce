// Reads the content of a pull Secret and merges hosts and tokens into it. Pure.
import { type DeniedHost, getDenyingRule, type HostIdentityResolver, isOfIdentity } from '../ecr/identity.ts';
import type { RegistryResolver } from '../ecr/registry.ts';
import type { Token } from '../ecr/token.ts';
import type { StoredLifetime } from '../ecr/token-policy.ts';
import { type AuthEntry, type MalformedPart, parseDockerConfig } from './docker-config.ts';
import {
  type HostLifetimes,
  maxParsedHosts,
  parseAnnotation,
  parseRequestTimes,
  type RequestTimes,
  type UnconfiguredHosts,
} from './hosts-annotation.ts';
import { keepOwnEntries, omitExpiredHosts } from './unconfigured-hosts.ts';

/** The content of a pull Secret. */
export interface SecretContent {
  readonly hosts: HostLifetimes;
  /** For hosts that have neither a token nor an entry, and that have been written before. */
  readonly requestedAt: RequestTimes;
  readonly auths: ReadonlyMap<string, AuthEntry>;
  /** They keep their entries until their tokens expire. Not set: none. */
  readonly unconfigured?: UnconfiguredHosts;
}

/** The hosts that a Secret should name, each with a token if one is available. */
export type DesiredHosts = ReadonlyMap<string, Token | undefined>;

export interface MergeRules {
  readonly maxHosts: number;
  /** Whether a token should replace the one that is stored for a host. */
  shouldReplace(namespace: string, token: Token, stored: StoredLifetime): boolean;
  readonly identityOf: HostIdentityResolver;
  /** The wall clock in ms. */
  now(): number;
}

/** Maximum size of a dockerconfigjson, below the 1 MiB of a Secret (kubernetes `pkg/apis/core/types.go`, MaxSecretSize). */
const maxBytes = 1_000_000;

export interface MergeResult {
  readonly content: SecretContent;
  /** Hosts for which, or for whose token, there was no room. */
  readonly refused: readonly string[];
  /** Hosts that were removed to make room. */
  readonly dropped: readonly string[];
  /** Hosts that were removed because they are no longer configured and their tokens have expired. */
  readonly expired: readonly string[];
  /** Hosts that were removed because a rule denies the namespace their tokens. */
  readonly denied: readonly DeniedHost[];
}

/** A host that may be removed from a Secret to make room for others. */
export interface DroppableHost {
  readonly host: string;
  /** Whether its token is valid. It is then removed only for a host that also has a token. */
  readonly valid: boolean;
}

export const emptyContent: SecretContent = { hosts: new Map(), requestedAt: new Map(), auths: new Map() };

/**
 * Reads a Secret's dockerconfigjson and annotation. Hosts are read from both, so that a host survives the loss of its
 * annotation or its entry. A token lifetime is used only if the host's entry exists and contains credentials. Entries that the
 * kubelet refuses are skipped: see {@link parseDockerConfig}. At most {@link maxParsedHosts} hosts are read; further entries
 * are kept but not renewed. Never throws.
 */
export function readContent(
  dockerConfigJson: string | undefined,
  annotation: string | undefined,
  resolveRegistry: RegistryResolver,
): { content: SecretContent; malformed: readonly MalformedPart[] } {
  const { auths, anonymous, malformed } = parseDockerConfig(dockerConfigJson);
  const hosts = new Map<string, StoredLifetime | undefined>();
  const annotated = parseAnnotation(annotation, resolveRegistry);
  for (const [host, lifetime] of annotated.hosts) {
    hosts.set(host, auths.has(host) && !anonymous.has(host) ? lifetime : undefined);
  }
  for (const host of auths.keys()) {
    if (hosts.size < maxParsedHosts && !hosts.has(host) && resolveRegistry(host) !== undefined) {
      hosts.set(host, undefined);
    }
  }
  const requestedAt = omitHostsWithEntries(parseRequestTimes(annotation, hosts), auths);
  const unconfigured = keepOwnEntries(annotated.unconfigured, auths);
  return { content: { hosts, requestedAt, auths, unconfigured }, malformed };
}

/** A host with an entry that another writer added may be in use, so it does not count as waiting for its first token. */
function omitHostsWithEntries(times: RequestTimes, auths: SecretContent['auths']): RequestTimes {
  return new Map([...times].filter(([host]) => !auths.has(host)));
}

/**
 * Merges the desired hosts and tokens into the existing content. A stored token is replaced only if the rules allow it. New
 * hosts are added in the order of `desired` while there is room. Only two kinds of hosts are removed: those that a rule denies
 * to the namespace, and those in `droppable`, no more of them than are needed to make room.
 *
 * A token is stored only if the identity that fetched it is the one that applies now. Rules and facts may have changed while it
 * was fetched. Without such a token, the host keeps what it has, or waits for its first token.
 * @param droppable hosts that are not desired, in the order in which they may be removed
 */
export function mergeContent(
  namespace: string,
  present: SecretContent,
  desired: DesiredHosts,
  rules: MergeRules,
  droppable: readonly DroppableHost[] = [],
): MergeResult {
  const denied = findDeniedHosts(namespace, [...present.hosts.keys(), ...present.auths.keys()], rules);
  const existing = omitHosts(present, new Set(denied.map(({ host }) => host)));
  const hosts = new Map(existing.hosts);
  const { auths, unconfigured, expired } = omitExpiredHosts(existing, rules.now());
  const refused: string[] = [];
  const dropped: string[] = [];
  let bytes = countContentBytes(auths);
  let candidates = toDropCandidates(droppable, existing);
  for (const [host, token] of selectStorable(namespace, desired, rules)) {
    const stored = hosts.get(host);
    const entry = createReplacementEntry(namespace, token, stored, rules);
    const addedBytes =
      entry === undefined ? 0 : countEntryBytes(host, entry) - countEntryBytes(host, auths.get(host));
    const shortage = {
      hosts: hosts.has(host) ? 0 : hosts.size + 1 - rules.maxHosts,
      bytes: addedBytes > 0 ? bytes + addedBytes - maxBytes : 0,
    };
    const toDrop = selectHostsToDrop(shortage, candidates, entry !== undefined);
    if (toDrop === undefined) {
      refused.push(host);
      continue;
    }
    for (const other of toDrop) {
      bytes -= other.bytes;
      hosts.delete(other.host);
      auths.delete(other.host);
      dropped.push(other.host);
    }
    candidates = candidates.filter((other) => !toDrop.includes(other));
    bytes += addedBytes;
    if (token !== undefined && entry !== undefined) {
      hosts.set(host, toStoredLifetime(token));
      auths.set(host, entry);
    } else {
      hosts.set(host, stored);
    }
  }
  const requestedAt = updateRequestTimes(hosts, auths, existing.requestedAt, rules.now());
  return { content: { hosts, requestedAt, auths, unconfigured }, refused, dropped, expired, denied };
}

/** Selects the hosts whose tokens a rule denies to a namespace, each once. */
export function findDeniedHosts(
  namespace: string,
  hosts: Iterable<string>,
  { identityOf }: Pick<MergeRules, 'identityOf'>,
): DeniedHost[] {
  return [...new Set(hosts)].flatMap((host) => {
    const rule = getDenyingRule(identityOf(namespace, host));
    return rule === undefined ? [] : [{ host, rule }];
  });
}

/** The desired hosts that are not denied, each with its token if that is of the identity that applies now. */
function selectStorable(
  namespace: string,
  desired: DesiredHosts,
  { identityOf }: MergeRules,
): [string, Token | undefined][] {
  return [...desired].flatMap(([host, token]): [string, Token | undefined][] => {
    const decision = identityOf(namespace, host);
    if (decision.access === 'denied') {
      return [];
    }
    return [[host, token !== undefined && isOfIdentity(token.identity, decision) ? token : undefined]];
  });
}

/** The entry for a token that should be stored, or undefined if the stored one is kept. */
function createReplacementEntry(
  namespace: string,
  token: Token | undefined,
  stored: StoredLifetime | undefined,
  rules: MergeRules,
): AuthEntry | undefined {
  const isBetter =
    token !== undefined && (stored === undefined || rules.shouldReplace(namespace, token, stored));
  return isBetter ? JSON.stringify({ auth: token.auth() }) : undefined;
}

type DropCandidate = DroppableHost & { readonly bytes: number };

function toDropCandidates(
  droppable: readonly DroppableHost[],
  { hosts, auths }: SecretContent,
): DropCandidate[] {
  return droppable
    .filter(({ host }) => hosts.has(host))
    .map((candidate) => ({
      ...candidate,
      bytes: countEntryBytes(candidate.host, auths.get(candidate.host)),
    }));
}

/** The first candidates that together free enough room, or undefined if all of them do not. */
function selectHostsToDrop(
  shortage: { readonly hosts: number; readonly bytes: number },
  candidates: readonly DropCandidate[],
  forToken: boolean,
): DropCandidate[] | undefined {
  const toDrop: DropCandidate[] = [];
  let { hosts, bytes } = shortage;
  for (const candidate of candidates) {
    if (hosts <= 0 && bytes <= 0) {
      break;
    }
    if ((forToken || !candidate.valid) && (hosts > 0 || candidate.bytes > 0)) {
      toDrop.push(candidate);
      hosts -= 1;
      bytes -= candidate.bytes;
    }
  }
  return hosts <= 0 && bytes <= 0 ? toDrop : undefined;
}

/** Returns content without some hosts and their entries. */
export function omitHosts(
  { hosts, requestedAt, auths, unconfigured = new Map() }: SecretContent,
  dropped: ReadonlySet<string>,
): SecretContent {
  const kept = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(([host]) => !dropped.has(host)));
  return {
    hosts: kept(hosts),
    requestedAt: kept(requestedAt),
    auths: kept(auths),
    unconfigured: kept(unconfigured),
  };
}

/** A host keeps the time of its first request. A time in the future comes from a clock that was ahead, and is corrected. */
function updateRequestTimes(
  hosts: HostLifetimes,
  auths: SecretContent['auths'],
  previous: RequestTimes,
  now: number,
): Map<string, number> {
  const pendingHosts = [...hosts].filter(([host, lifetime]) => lifetime === undefined && !auths.has(host));
  return new Map(pendingHosts.map(([host]) => [host, Math.min(previous.get(host) ?? now, now)]));
}

function toStoredLifetime({ issuedAt, expiresAt, identity }: Token): StoredLifetime {
  return { issuedAt, expiresAt, ...(identity !== undefined && { identity }) };
}

/** Formats a dockerconfigjson. Hosts are sorted, so that equal content has equal text. */
export function formatDockerConfig(auths: ReadonlyMap<string, AuthEntry>): string {
  const entries = [...auths].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{"auths":{${entries.map(([host, entry]) => `${JSON.stringify(host)}:${entry}`).join()}}}`;
}

function countContentBytes(auths: ReadonlyMap<string, AuthEntry>): number {
  return [...auths].reduce((sum, [host, entry]) => sum + countEntryBytes(host, entry), '{"auths":{}}'.length);
}

/** Bytes of `"HOST":ENTRY,`. The program writes ASCII; other text counts as three bytes per character, the maximum. */
function countEntryBytes(host: string, entry: AuthEntry | undefined): number {
  if (entry === undefined) {
    return 0;
  }
  const text = `${JSON.stringify(host)}:${entry},`;
  return /^[\x20-\x7e]*$/.test(text) ? text.length : text.length * 3;
}
