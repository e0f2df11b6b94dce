import { parseEcrHost } from '../ecr/registry.ts';
import type { Token } from '../ecr/token.ts';
import type { StoredLife } from '../ecr/token-policy.ts';
import { type AuthEntry, type Malformed, parseDockerConfig } from './docker-config.ts';
import {
  type HostLives,
  maxReadHosts,
  parseHosts,
  parseRequestTimes,
  type RequestTimes,
} from './hosts-annotation.ts';

/** What a pull Secret holds. */
export interface Content {
  readonly hosts: HostLives;
  /** Of hosts that have neither a token nor an entry; empty for hosts that are not written yet. */
  readonly requestedAt: RequestTimes;
  readonly auths: ReadonlyMap<string, AuthEntry>;
}

/** What an ensure wants of a Secret: each host, with a token if there is one yet. */
export type Wanted = ReadonlyMap<string, Token | undefined>;

/** What a merge goes by. */
export interface MergeRules {
  readonly maxHosts: number;
  /** Whether a token is to take the place of the one that is stored for a host. */
  replaces(token: Token, stored: StoredLife, host: string): boolean;
  /** Fingerprint of the role that asks for a host's tokens; undefined for the program's own identity. */
  identityOf(host: string): string | undefined;
  /** The wall clock in ms. */
  now(): number;
}

/** Bytes of a dockerconfigjson, below the 1 MiB of a Secret (kubernetes `pkg/apis/core/types.go`, MaxSecretSize). */
const maxBytes = 1_000_000;

export interface Merged {
  readonly content: Content;
  /** Hosts that found no room, or whose token did. */
  readonly refused: readonly string[];
  /** Hosts that left so that others have room. */
  readonly dropped: readonly string[];
}

/** A host that may leave a Secret when others need its room. */
export interface Droppable {
  readonly host: string;
  /** Whether its token is valid: it then leaves only for a host that has a token, too. */
  readonly valid: boolean;
}

export const noContent: Content = { hosts: new Map(), requestedAt: new Map(), auths: new Map() };

/**
 * Reads a Secret's dockerconfigjson and annotation. Hosts come from both, so that neither a lost annotation nor a
 * lost entry loses a host; a life counts only while its entry is there and holds credentials. Entries that the kubelet
 * refuses are left out: see {@link parseDockerConfig}.
 * At most {@link maxReadHosts} hosts are read; entries beyond them stay, but are not renewed. Never throws.
 */
export function readContent(
  dockerConfigJson: string | undefined,
  annotation: string | undefined,
): { content: Content; malformed: readonly Malformed[] } {
  const { auths, anonymous, malformed } = parseDockerConfig(dockerConfigJson);
  const hosts = new Map<string, StoredLife | undefined>();
  for (const [host, life] of parseHosts(annotation)) {
    hosts.set(host, auths.has(host) && !anonymous.has(host) ? life : undefined);
  }
  for (const host of auths.keys()) {
    if (hosts.size < maxReadHosts && !hosts.has(host) && parseEcrHost(host) !== undefined) {
      hosts.set(host, undefined);
    }
  }
  const requestedAt = withoutEntries(parseRequestTimes(annotation, hosts), auths);
  return { content: { hosts, requestedAt, auths }, malformed };
}

/** A host with an entry that somebody else wrote can be pulled from: it is not one that never received a token. */
function withoutEntries(times: RequestTimes, auths: Content['auths']): RequestTimes {
  return new Map([...times].filter(([host]) => !auths.has(host)));
}

/**
 * Adds what is wanted to what is there. A stored token is replaced only where the rules say so. New hosts come in the
 * order of `wanted` while there is room. Nothing that is there leaves, except hosts in `droppable`, and of these only as
 * many as the room for others takes.
 * @param droppable in the order in which they may leave; none of them is wanted
 */
export function mergeContent(
  existing: Content,
  wanted: Wanted,
  rules: MergeRules,
  droppable: readonly Droppable[] = [],
): Merged {
  const hosts = new Map(existing.hosts);
  const auths = new Map(existing.auths);
  const refused: string[] = [];
  const dropped: string[] = [];
  let bytes = contentBytes(auths);
  let spare = sparesOf(droppable, existing);
  for (const [host, token] of wanted) {
    const stored = hosts.get(host);
    const entry = replacingEntry(token, stored, host, rules);
    const added = entry === undefined ? 0 : entryBytes(host, entry) - entryBytes(host, auths.get(host));
    const lack = {
      hosts: hosts.has(host) ? 0 : hosts.size + 1 - rules.maxHosts,
      bytes: added > 0 ? bytes + added - maxBytes : 0,
    };
    const leaving = hostsToDrop(lack, spare, entry !== undefined);
    if (leaving === undefined) {
      refused.push(host);
      continue;
    }
    for (const other of leaving) {
      bytes -= other.bytes;
      hosts.delete(other.host);
      auths.delete(other.host);
      dropped.push(other.host);
    }
    spare = spare.filter((other) => !leaving.includes(other));
    bytes += added;
    if (token !== undefined && entry !== undefined) {
      hosts.set(host, lifeOf(token, rules.identityOf(host)));
      auths.set(host, entry);
    } else {
      hosts.set(host, stored);
    }
  }
  const requestedAt = requestTimes(hosts, auths, existing.requestedAt, rules.now());
  return { content: { hosts, requestedAt, auths }, refused, dropped };
}

/** The entry of a token that is to be stored; undefined: what is stored stays. */
function replacingEntry(
  token: Token | undefined,
  stored: StoredLife | undefined,
  host: string,
  rules: MergeRules,
): AuthEntry | undefined {
  const better = token !== undefined && (stored === undefined || rules.replaces(token, stored, host));
  return better ? JSON.stringify({ auth: token.auth() }) : undefined;
}

type Spare = Droppable & { readonly bytes: number };

function sparesOf(droppable: readonly Droppable[], { hosts, auths }: Content): Spare[] {
  return droppable
    .filter(({ host }) => hosts.has(host))
    .map((one) => ({ ...one, bytes: entryBytes(one.host, auths.get(one.host)) }));
}

/** The first hosts that may leave and free what is lacking; undefined: all of them do not. */
function hostsToDrop(
  lack: { readonly hosts: number; readonly bytes: number },
  spare: readonly Spare[],
  forToken: boolean,
): Spare[] | undefined {
  const leaving: Spare[] = [];
  let { hosts, bytes } = lack;
  for (const one of spare) {
    if (hosts <= 0 && bytes <= 0) {
      break;
    }
    if ((forToken || !one.valid) && (hosts > 0 || one.bytes > 0)) {
      leaving.push(one);
      hosts -= 1;
      bytes -= one.bytes;
    }
  }
  return hosts <= 0 && bytes <= 0 ? leaving : undefined;
}

/** Takes hosts out, with their entries. */
export function withoutHosts({ hosts, requestedAt, auths }: Content, dropped: ReadonlySet<string>): Content {
  const kept = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(([host]) => !dropped.has(host)));
  return { hosts: kept(hosts), requestedAt: kept(requestedAt), auths: kept(auths) };
}

/** A host keeps the time at which it was first requested; one in the future is of a clock that was ahead. */
function requestTimes(
  hosts: HostLives,
  auths: Content['auths'],
  before: RequestTimes,
  now: number,
): Map<string, number> {
  const waiting = [...hosts].filter(([host, life]) => life === undefined && !auths.has(host));
  return new Map(waiting.map(([host]) => [host, Math.min(before.get(host) ?? now, now)]));
}

function lifeOf({ issuedAt, expiresAt }: Token, identity: string | undefined): StoredLife {
  return { issuedAt, expiresAt, ...(identity !== undefined && { identity }) };
}

/** The text of a dockerconfigjson, hosts in order, so that equal content gives equal text. */
export function formatDockerConfig(auths: ReadonlyMap<string, AuthEntry>): string {
  const entries = [...auths].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{"auths":{${entries.map(([host, entry]) => `${JSON.stringify(host)}:${entry}`).join()}}}`;
}

function contentBytes(auths: ReadonlyMap<string, AuthEntry>): number {
  return [...auths].reduce((sum, [host, entry]) => sum + entryBytes(host, entry), '{"auths":{}}'.length);
}

/** Bytes of `"HOST":ENTRY,`; content that we write is ASCII, what others wrote counts three bytes a character. */
function entryBytes(host: string, entry: AuthEntry | undefined): number {
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
export function droppableHosts({ hosts, auths }: Content, { isKept, now }: DropRules): Droppable[] {
  return [...hosts]
    .filter(([host, life]) => !isKept(host) && (life !== undefined || !auths.has(host)))
    .map(([host, life]) => ({ host, expiresAt: life?.expiresAt ?? Number.NEGATIVE_INFINITY }))
    .sort((a, b) => a.expiresAt - b.expiresAt)
    .map(({ host, expiresAt }) => ({ host, valid: expiresAt > now }));
}

/** Hosts that never received a token and were requested too long ago. */
export function forgettableHosts(
  { requestedAt }: Pick<Content, 'requestedAt'>,
  forgetAfterMs: number,
  { isKept, now }: DropRules,
): string[] {
  return [...requestedAt]
    .filter(([host, at]) => at + forgetAfterMs <= now && !isKept(host))
    .map(([host]) => host);
}
