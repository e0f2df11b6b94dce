import { parseEcrHost } from '../images/registry.ts';
import { isObject } from '../images/unvalidated.ts';
import type { Token } from '../tokens/token.ts';
import { type HostLives, maxReadHosts, parseHosts, type StoredLife } from './annotation.ts';

/** An entry of `auths`: ours holds `auth` alone; one that a person added is kept as it is. */
export type AuthEntry = Readonly<Record<string, unknown>>;

/** What a pull Secret holds. */
export interface Content {
  readonly hosts: HostLives;
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
}

/** Bytes of a dockerconfigjson, below the 1 MiB of a Secret (kubernetes `pkg/apis/core/types.go`, MaxSecretSize). */
const maxBytes = 1_000_000;

export interface Merged {
  readonly content: Content;
  /** Hosts that found no room. Hosts that were there before are never among them. */
  readonly refused: readonly string[];
}

export const noContent: Content = { hosts: new Map(), auths: new Map() };

/** What had to be left out of a Secret's content that somebody else wrote, and why. Holds no values. */
export interface Malformed {
  readonly place: string;
  readonly text: string;
}

/** Malformed entries that are reported of one Secret, and how much of an entry's name: both can fill a megabyte. */
const maxReported = { entries: 10, nameLength: 128 };

/** Levels of objects and lists in an entry. `JSON.stringify` fails on values that `JSON.parse` nests without limit. */
const maxDepth = 100;

/**
 * Reads a Secret's dockerconfigjson and annotation. Hosts come from both, so that neither a lost annotation nor a
 * lost entry loses a host; a life counts only while its entry is there. Entries that a kubelet could not read are
 * left out, because one of them fails every pull of the pod (kubernetes `pkg/credentialprovider/config.go`).
 * At most {@link maxReadHosts} hosts are read; entries beyond them stay, but are not renewed. Never throws.
 */
export function readContent(
  dockerConfigJson: string | undefined,
  annotation: string | undefined,
): { content: Content; malformed: Malformed[] } {
  const auths = new Map<string, AuthEntry>();
  const malformed: Malformed[] = [];
  const parsed = parseAuths(dockerConfigJson);
  if (parsed === undefined) {
    malformed.push({ place: '.dockerconfigjson', text: 'is not JSON with an object in "auths"' });
  }
  for (const [host, entry] of Object.entries(parsed ?? {})) {
    if (isReadable(entry)) {
      auths.set(host, entry);
    } else if (malformed.length < maxReported.entries) {
      malformed.push({
        place: `auths[${JSON.stringify(host.slice(0, maxReported.nameLength))}]`,
        text: 'is not an entry that a kubelet can read',
      });
    }
  }
  const hosts = new Map<string, StoredLife | undefined>();
  for (const [host, life] of parseHosts(annotation)) {
    hosts.set(host, auths.has(host) ? life : undefined);
  }
  for (const host of auths.keys()) {
    if (hosts.size < maxReadHosts && !hosts.has(host) && parseEcrHost(host) !== undefined) {
      hosts.set(host, undefined);
    }
  }
  return { content: { hosts, auths }, malformed };
}

/**
 * Adds what is wanted to what is there. Nothing that is there is ever taken away: a stored token gives way only where
 * the rules say so. New hosts come in the order of `wanted` while there is room.
 */
export function mergeContent(existing: Content, wanted: Wanted, rules: MergeRules): Merged {
  const hosts = new Map(existing.hosts);
  const auths = new Map(existing.auths);
  const refused: string[] = [];
  let bytes = contentBytes(auths);
  for (const [host, token] of wanted) {
    const stored = hosts.get(host);
    const better = token !== undefined && (stored === undefined || rules.replaces(token, stored, host));
    const entry = better ? { auth: token.auth() } : undefined;
    const added = entry === undefined ? 0 : entryBytes(host, entry) - entryBytes(host, auths.get(host));
    if ((!hosts.has(host) && hosts.size >= rules.maxHosts) || bytes + added > maxBytes) {
      refused.push(host);
      continue;
    }
    bytes += added;
    if (better && entry !== undefined) {
      hosts.set(host, lifeOf(token, rules.identityOf(host)));
      auths.set(host, entry);
    } else {
      hosts.set(host, stored);
    }
  }
  return { content: { hosts, auths }, refused };
}

function lifeOf({ issuedAt, expiresAt }: Token, identity: string | undefined): StoredLife {
  return { issuedAt, expiresAt, ...(identity !== undefined && { identity }) };
}

/** The text of a dockerconfigjson, hosts in order, so that equal content gives equal text. */
export function formatDockerConfig(auths: ReadonlyMap<string, AuthEntry>): string {
  return JSON.stringify({ auths: Object.fromEntries([...auths].sort(([a], [b]) => (a < b ? -1 : 1))) });
}

function contentBytes(auths: ReadonlyMap<string, AuthEntry>): number {
  return [...auths].reduce((sum, [host, entry]) => sum + entryBytes(host, entry), '{"auths":{}}'.length);
}

/** Bytes of `"HOST":ENTRY,`; content that we write is ASCII, what others wrote counts three bytes a character. */
function entryBytes(host: string, entry: AuthEntry | undefined): number {
  if (entry === undefined) {
    return 0;
  }
  const text = `${JSON.stringify(host)}:${JSON.stringify(entry)},`;
  return /^[\x20-\x7e]*$/.test(text) ? text.length : text.length * 3;
}

function parseAuths(dockerConfigJson: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(dockerConfigJson ?? '');
    const auths = isObject(value) ? value['auths'] : undefined;
    return isObject(auths) ? auths : undefined;
  } catch {
    return undefined;
  }
}

/** An object whose `auth`, if any, decodes to `user:password`, and whose other known fields are text. */
function isReadable(entry: unknown): entry is AuthEntry {
  if (
    !isObject(entry) ||
    !isShallow(entry, maxDepth) ||
    !['username', 'password', 'email'].every((name) => isTextOrAbsent(entry[name]))
  ) {
    return false;
  }
  const auth = entry['auth'];
  return auth === undefined || (typeof auth === 'string' && (auth === '' || decodesToPair(auth)));
}

function isShallow(value: unknown, levels: number): boolean {
  return (
    typeof value !== 'object' ||
    value === null ||
    (levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1)))
  );
}

function decodesToPair(auth: string): boolean {
  try {
    return atob(auth).includes(':');
  } catch {
    return false;
  }
}

function isTextOrAbsent(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}
