// Parses a dockerconfigjson as the kubelet does (kubernetes pkg/credentialprovider/config.go, Go's encoding/json).
import { isJson } from '../util/json.ts';
import { type Member, parseMembers } from '../util/json-members.ts';

/** An entry of `auths` as JSON. The program writes only `auth`; an entry that a user added is kept unchanged. */
export type AuthEntry = string;

/** A part of a Secret's content that was skipped, and why. Contains no values, which may be credentials. */
export interface MalformedPart {
  /** For example `auths["registry.example"]`. */
  readonly path: string;
  readonly problem: string;
}

export interface DockerConfig {
  /** By registry, as the kubelet spells it. The kubelet accepts each of these entries. */
  readonly auths: ReadonlyMap<string, AuthEntry>;
  /** Registries whose entries hold neither a username nor a password. */
  readonly anonymous: ReadonlySet<string>;
  readonly malformed: readonly MalformedPart[];
}

/** Maximum number of reports for one Secret, and maximum length of a name in them. Either can fill a megabyte otherwise. */
const reportLimits = { parts: 10, nameLength: 128 };

/** Maximum nesting depth of an entry. Go's decoder accepts 10,000 levels (`encoding/json/scanner.go`); two enclose the entry. */
const maxEntryDepth = 9_998;

/**
 * Parses a dockerconfigjson. Because of a single malformed part, the kubelet refuses the whole document, and then every pull
 * of the pod fails; this parser skips only that part. It interprets everything else as the kubelet does: it ignores the case
 * of field names, takes `null` for an absent field, and uses the last of several values. Its run time is linear in the length
 * of the text. It never throws.
 */
export function parseDockerConfig(text: string | undefined): DockerConfig {
  const auths = new Map<string, ParsedEntry>();
  const malformed: MalformedPart[] = [];
  const report: ReportMalformed = (path, problem) => {
    if (malformed.length < reportLimits.parts) {
      malformed.push({ path, problem });
    }
  };
  for (const member of parseDocument(text, report)) {
    if (foldCase(member.name) === 'auths') {
      parseAuths(member, auths, report);
    } else {
      report(quoteName(member.name), 'is not in "auths", the only part that the kubelet uses');
    }
  }
  return {
    auths: new Map([...auths].map(([registry, { entry }]) => [registry, entry])),
    anonymous: new Set([...auths].filter(([, parsed]) => parsed.anonymous).map(([registry]) => registry)),
    malformed,
  };
}

type ReportMalformed = (path: string, problem: string) => void;

/** An entry that the kubelet accepts. */
interface ParsedEntry {
  readonly entry: AuthEntry;
  readonly anonymous: boolean;
}

function parseDocument(text: string | undefined, report: ReportMalformed): Member[] {
  if (text === undefined || text === '') {
    report('.dockerconfigjson', 'is missing or empty');
    return [];
  }
  if (!isJson(text)) {
    report('.dockerconfigjson', 'is not JSON');
    return [];
  }
  const members = parseMembers(text);
  if (members === undefined && !isNull(text)) {
    report('.dockerconfigjson', 'is not a JSON object');
  }
  return members ?? [];
}

/** Adds the entries of one `auths`. A document can contain several; Go's decoder merges them unless one is `null`. */
function parseAuths({ json }: Member, auths: Map<string, ParsedEntry>, report: ReportMalformed): void {
  const members = parseMembers(json);
  if (members === undefined) {
    if (isNull(json)) {
      auths.clear();
    } else {
      report('auths', 'is not an object');
    }
    return;
  }
  for (const member of members) {
    const registry = member.name.toWellFormed(); // Go's decoder replaces lone surrogates with U+FFFD.
    const parsed = parseEntry(member);
    if (typeof parsed === 'string') {
      report(`auths[${quoteName(registry)}]`, parsed);
    } else {
      auths.set(registry, parsed);
    }
  }
}

/** @returns a string that says why the kubelet refuses the entry, otherwise the entry */
function parseEntry({ json, depth }: Member): ParsedEntry | string {
  if (depth > maxEntryDepth) {
    return 'is nested more deeply than the kubelet accepts';
  }
  const members = parseMembers(json);
  if (members === undefined) {
    return isNull(json) ? { entry: '{}', anonymous: true } : 'is not an object';
  }
  const fields = new Map<string, string>();
  for (const { name, json } of members) {
    const field = foldCase(name);
    if (!knownFields.has(field)) {
      continue;
    }
    const value: unknown = JSON.parse(json);
    if (typeof value === 'string') {
      fields.set(field, value); // As in Go's decoder, the last string counts and `null` changes nothing.
    } else if (value !== null) {
      return `has a value of "${field}" that is not a string`;
    }
  }
  const credentials = decodeCredentials(fields);
  return credentials === undefined
    ? 'has a value of "auth" that is not base64 of USERNAME:PASSWORD'
    : { entry: json.trim(), anonymous: credentials === ':' };
}

const knownFields: ReadonlySet<string> = new Set(['username', 'password', 'email', 'auth']);

/** @returns `USERNAME:PASSWORD`, or undefined if `auth`, which takes precedence, cannot be decoded */
function decodeCredentials(fields: ReadonlyMap<string, string>): string | undefined {
  const auth = fields.get('auth') ?? '';
  if (auth === '') {
    return `${fields.get('username') ?? ''}:${fields.get('password') ?? ''}`;
  }
  const decoded = decodeBase64(auth);
  return decoded?.includes(':') === true ? decoded : undefined;
}

/**
 * Decodes standard base64, with or without padding, as Go's `encoding/base64` does: it skips line breaks but no other
 * whitespace, whereas `atob` skips all whitespace.
 * @returns one character for each byte, or undefined if the text is not base64
 */
function decodeBase64(text: string): string | undefined {
  const encoded = text.replace(/[\r\n]/g, '');
  const padding = encoded.endsWith('==') ? 2 : encoded.endsWith('=') ? 1 : 0;
  const digits = encoded.slice(0, encoded.length - padding);
  const complete = padding === 0 ? digits.length % 4 !== 1 : encoded.length % 4 === 0;
  return complete && /^[A-Za-z0-9+/]*$/.test(digits) ? atob(digits) : undefined;
}

/** A field name in lower case. Go's decoder uses Unicode's simple case folding, in which U+017F equals `s`. */
function foldCase(name: string): string {
  return name.replaceAll('\u017f', 's').toLowerCase();
}

function isNull(json: string): boolean {
  return json.trim() === 'null';
}

function quoteName(name: string): string {
  return JSON.stringify(name.slice(0, reportLimits.nameLength));
}
