// Parses a dockerconfigjson as the kubelet does (kubernetes pkg/credentialprovider/config.go, Go's encoding/json).
import { type Member, parseMembers } from '../util/json-members.ts';

/** An entry of `auths` as JSON: ours holds `auth` alone; one that a user added is kept as it is, character by character. */
export type AuthEntry = string;

/** What had to be left out of a Secret's content that another user wrote, and why. Holds no values. */
export interface MalformedPart {
  readonly place: string;
  readonly text: string;
}

export interface DockerConfig {
  /** By registry, as the kubelet spells it. The kubelet accepts each of these entries. */
  readonly auths: ReadonlyMap<string, AuthEntry>;
  /** Registries whose entries hold neither a username nor a password. */
  readonly anonymous: ReadonlySet<string>;
  readonly malformed: readonly MalformedPart[];
}

/** Maximum number of reports for one Secret, and maximum length of a name in them: both can fill a megabyte. */
const reportLimits = { parts: 10, nameLength: 128 };

/** Maximum nesting depth of an entry: Go's decoder accepts 10,000 levels (`encoding/json/scanner.go`), and two are around it. */
const maxEntryDepth = 9_998;

/**
 * Reads a dockerconfigjson. The kubelet refuses the whole document because of a single malformed part, and then every pull
 * of the pod fails; here, only that part is left out. What the kubelet accepts means the same afterwards: names of fields
 * in any case, `null` for an absent field, and the last of several values. Linear in the length of the text. Never throws.
 */
export function parseDockerConfig(text: string | undefined): DockerConfig {
  const auths = new Map<string, ParsedEntry>();
  const malformed: MalformedPart[] = [];
  const report: ReportMalformed = (place, text) => {
    if (malformed.length < reportLimits.parts) {
      malformed.push({ place, text });
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

type ReportMalformed = (place: string, text: string) => void;

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

/** Adds the entries of one `auths`. A document can hold several, which Go's decoder merges unless one is `null`. */
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

/** @returns a text that says why the kubelet refuses the entry */
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
      fields.set(field, value); // as in Go's decoder, the last string counts and `null` changes nothing
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

/** `USERNAME:PASSWORD`, empty where there are none; undefined where `auth`, which comes first, cannot be decoded. */
function decodeCredentials(fields: ReadonlyMap<string, string>): string | undefined {
  const auth = fields.get('auth') ?? '';
  if (auth === '') {
    return `${fields.get('username') ?? ''}:${fields.get('password') ?? ''}`;
  }
  const decoded = decodeBase64(auth);
  return decoded?.includes(':') === true ? decoded : undefined;
}

/**
 * Decodes standard base64, padded or not, as Go's `encoding/base64` does: line breaks are skipped and other whitespace is
 * not. `atob` skips all whitespace.
 * @returns a character for each byte; undefined where the text is not base64
 */
function decodeBase64(text: string): string | undefined {
  const encoded = text.replace(/[\r\n]/g, '');
  const padding = encoded.endsWith('==') ? 2 : encoded.endsWith('=') ? 1 : 0;
  const digits = encoded.slice(0, encoded.length - padding);
  const complete = padding === 0 ? digits.length % 4 !== 1 : encoded.length % 4 === 0;
  return complete && /^[A-Za-z0-9+/]*$/.test(digits) ? atob(digits) : undefined;
}

/** A field's name in lower case. Go's decoder ignores case by Unicode's simple folding, where U+017F is an s. */
function foldCase(name: string): string {
  return name.replaceAll('\u017f', 's').toLowerCase();
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isNull(json: string): boolean {
  return json.trim() === 'null';
}

function quoteName(name: string): string {
  return JSON.stringify(name.slice(0, reportLimits.nameLength));
}
