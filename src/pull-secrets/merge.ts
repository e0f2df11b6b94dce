import type { RegistryResolver } from '../ecr/registry.ts';
import type { Token } from '../ecr/token.ts';
import type { StoredLifetime } from '../ecr/token-policy.ts';
import { type AuthEntry, type MalformedPart, parseDockerConfig } from './docker-config.ts';
import {
  type HostLifetimes,
  maxParsedHosts,
  parseHosts,
  parseRequestTimes,
  type RequestTimes,
} from './hosts-annotation.ts';

/** What a pull Secret holds. */
export interface SecretContent {
  readonly hosts: HostLifetimes;
  /** Of hosts that have neither a token nor an entry; empty for hosts that are not written yet. */
  readonly requestedAt: RequestTimes;
  readonly auths: ReadonlyMap<string, AuthEntry>;
}

/** What an ensure wants of a Secret: each host, with a token if there is one yet. */
export type DesiredHosts = ReadonlyMap<string, Token | undefined>;

/** What a merge goes by. */
export interface MergeRules {
  readonly maxHosts: number;
  /** Whether a token is to take the place of the one that is stored for a host. */
  shouldReplace(namespace: string, host: string, token: Token, stored: StoredLifetime): boolean;
  /** Fingerprint of the role that fetches the tokens of a host for a namespace; undefined for the program's own identity. */
  identityOf(namespace: string, host: string): string | undefined;
  /** The wall clock in ms. */
  now(): number;
}

/** Bytes of a dockerconfigjson, below the 1 MiB of a Secret (kubernetes `pkg/apis/core/types.go`, MaxSecretSize). */
const maxBytes = 1_000_000;

export interface MergeResult {
  readonly content: SecretContent;
  /** Hosts that found no room, or whose token did. */
  readonly refused: readonly string[];
  /** Hosts that left so that others have room. */
  readonly dropped: readonly string[];
}

/** A host that may leave a Secret when others need its room. */
export interface DroppableHost {
  readonly host: string;
  /** Whether its token is valid: it then leaves only for a host that has a token, too. */
  readonly valid: boolean;
}

export const emptyContent: SecretContent = { hosts: new Map(), requestedAt: new Map(), auths: new Map() };

/**
 * Reads a Secret's dockerconfigjson and annotation. Hosts come from both, so that neither a lost annotation nor a
 * lost entry loses a host; a life counts only while its entry is there and holds credentials. Entries that the kubelet
 * refuses are left out: see {@link parseDockerConfig}.
 * At most {@link maxParsedHosts} hosts are read; entries beyond them stay, but are not renewed. Never throws.
 */
export function readContent(
  dockerConfigJson: string | undefined,
  annotation: string | undefined,
  resolveRegistry: RegistryResolver,
): { content: SecretContent; malformed: readonly MalformedPart[] } {
  const { auths, anonymous, malformed } = parseDockerConfig(dockerConfigJson);
  const hosts = new Map<string, StoredLifetime | undefined>();
  for (const [host, lifetime] of parseHosts(annotation, resolveRegistry)) {
    hosts.set(host, auths.has(host) && !anonymous.has(host) ? lifetime : undefined);
  }
  for (const host of auths.keys()) {
    if (hosts.size < maxParsedHosts && !hosts.has(host) && resolveRegistry(host) !== undefined) {
      hosts.set(host, undefined);
    }
  }
  const requestedAt = omitHostsWithEntries(parseRequestTimes(annotation, hosts), auths);
  return { content: { hosts, requestedAt, auths }, malformed };
}

/** A host with an entry that somebody else wrote can be pulled from: it is not one that never received a token. */
function omitHostsWithEntries(times: RequestTimes, auths: SecretContent['auths']): RequestTimes {
  return new Map([...times].filter(([host]) => !auths.has(host)));
}

/**
 * Adds what is wanted to what is there. A stored token is replaced only where the rules say so. New hosts come in the
 * order of `wanted` while there is room. Nothing that is there leaves, except hosts in `droppable`, and of these only as
 * many as the room for others takes.
 * @param droppable in the order in which they may leave; none of them is wanted
 */
export function mergeContent(
  namespace: string,
  existing: SecretContent,
  wanted: DesiredHosts,
  rules: MergeRules,
  findDroppable: readonly DroppableHost[] = [],
): MergeResult {
  const hosts = new Map(existing.hosts);
  const auths = new Map(existing.auths);
  const refused: string[] = [];
  const dropped: string[] = [];
  let bytes = countContentBytes(auths);
  let candidates = toDropCandidates(findDroppable, existing);
  for (const [host, token] of wanted) {
    const stored = hosts.get(host);
    const entry = createReplacementEntry(namespace, host, token, stored, rules);
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
      hosts.set(host, toStoredLifetime(token, rules.identityOf(namespace, host)));
      auths.set(host, entry);
    } else {
      hosts.set(host, stored);
    }
  }
  const requestedAt = updateRequestTimes(hosts, auths, existing.requestedAt, rules.now());
  return { content: { hosts, requestedAt, auths }, refused, dropped };
}

/** The entry of a token that is to be stored; undefined: what is stored stays. */
function createReplacementEntry(
  namespace: string,
  host: string,
  token: Token | undefined,
  stored: StoredLifetime | undefined,
  rules: MergeRules,
): AuthEntry | undefined {
  const isBetter =
    token !== undefined && (stored === undefined || rules.shouldReplace(namespace, host, token, stored));
  return isBetter ? JSON.stringify({ auth: token.auth() }) : undefined;
}

type DropCandidate = DroppableHost & { readonly bytes: number };

function toDropCandidates(
  findDroppable: readonly DroppableHost[],
  { hosts, auths }: SecretContent,
): DropCandidate[] {
  return findDroppable
    .filter(({ host }) => hosts.has(host))
    .map((candidate) => ({
      ...candidate,
      bytes: countEntryBytes(candidate.host, auths.get(candidate.host)),
    }));
}

/** The first hosts that may leave and free what is lacking; undefined: all of them do not. */
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

/** Takes hosts out, with their entries. */
export function omitHosts(
  { hosts, requestedAt, auths }: SecretContent,
  dropped: ReadonlySet<string>,
): SecretContent {
  const kept = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(([host]) => !dropped.has(host)));
  return { hosts: kept(hosts), requestedAt: kept(requestedAt), auths: kept(auths) };
}

/** A host keeps the time at which it was first requested; one in the future is of a clock that was ahead. */
function updateRequestTimes(
  hosts: HostLifetimes,
  auths: SecretContent['auths'],
  previous: RequestTimes,
  now: number,
): Map<string, number> {
  const pendingHosts = [...hosts].filter(([host, lifetime]) => lifetime === undefined && !auths.has(host));
  return new Map(pendingHosts.map(([host]) => [host, Math.min(previous.get(host) ?? now, now)]));
}

function toStoredLifetime({ issuedAt, expiresAt }: Token, identity: string | undefined): StoredLifetime {
  return { issuedAt, expiresAt, ...(identity !== undefined && { identity }) };
}

/** The text of a dockerconfigjson, hosts in order, so that equal content gives equal text. */
export function formatDockerConfig(auths: ReadonlyMap<string, AuthEntry>): string {
  const entries = [...auths].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{"auths":{${entries.map(([host, entry]) => `${JSON.stringify(host)}:${entry}`).join()}}}`;
}

function countContentBytes(auths: ReadonlyMap<string, AuthEntry>): number {
  return [...auths].reduce((sum, [host, entry]) => sum + countEntryBytes(host, entry), '{"auths":{}}'.length);
}

/** Bytes of `"HOST":ENTRY,`; content that we write is ASCII, what others wrote counts three bytes a character. */
function countEntryBytes(host: string, entry: AuthEntry | undefined): number {
  if (entry === undefined) {
    return 0;
  }
  const text = `${JSON.stringify(host)}:${entry},`;
  return /^[\x20-\x7e]*$/.test(text) ? text.length : text.length * 3;
}

/** What keeps a host in a Secret. */
export interface DropRules {
  /** Whether a pod names the host, or may name it soon, or the operator configured it. */
  isKept(host: string): boolean;
  /** The wall clock in ms. */
  readonly now: number;
}

/**
 * The hosts that may make room for others, in the order in which they may leave: those that never received a token,
 * those whose token has expired, and last those whose token is valid, the one that expires first at the front. A host
 * with an entry that somebody else wrote stays, since that entry may be what its pods pull with.
 */
export function findDroppableHosts(
  { hosts, auths }: SecretContent,
  { isKept, now }: DropRules,
): DroppableHost[] {
  return [...hosts]
    .filter(([host, lifetime]) => !isKept(host) && (lifetime !== undefined || !auths.has(host)))
    .map(([host, lifetime]) => ({ host, expiresAt: lifetime?.expiresAt ?? Number.NEGATIVE_INFINITY }))
    .sort((a, b) => a.expiresAt - b.expiresAt)
    .map(({ host, expiresAt }) => ({ host, valid: expiresAt > now }));
}

/** Hosts that never received a token and were requested too long ago. */
export function findForgettableHosts(
  { requestedAt }: Pick<SecretContent, 'requestedAt'>,
  forgetAfterMs: number,
  { isKept, now }: DropRules,
): string[] {
  return [...requestedAt]
    .filter(([host, at]) => at + forgetAfterMs <= now && !isKept(host))
    .map(([host]) => host);
}
