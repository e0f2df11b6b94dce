// Parses a dockerconfigjson as the kubelet does (kubernetes pkg/credentialprovider/config.go, Go's encoding/json).
import { type Member, membersOf } from './json-members.ts';

/** An entry of `auths`: ours holds `auth` alone; one that a user added is kept as it is. */
export type AuthEntry = Readonly<Record<string, unknown>>;

/** What had to be left out of a Secret's content that somebody else wrote, and why. Holds no values. */
export interface Malformed {
  readonly place: string;
  readonly text: string;
}

export interface DockerConfig {
  /** By registry, as the kubelet spells it. The kubelet accepts each of these entries. */
  readonly auths: ReadonlyMap<string, AuthEntry>;
  /** Registries whose entries hold neither a username nor a password. */
  readonly anonymous: ReadonlySet<string>;
  readonly malformed: readonly Malformed[];
}

/** Maximum number of reports for one Secret, and maximum length of a name in them: both can fill a megabyte. */
const maxReported = { parts: 10, nameLength: 128 };

/** Maximum nesting depth of an entry: Go's decoder accepts 10,000 levels (`encoding/json/scanner.go`), and two are around it. */
const maxEntryDepth = 9_998;

/** Maximum nesting depth of a field that is kept. `JSON.stringify` fails on values that `JSON.parse` nests without limit. */
const maxFieldDepth = 99;

/**
 * Reads a dockerconfigjson. The kubelet refuses the whole document because of a single malformed part, and then every pull
 * of the pod fails; here, only that part is left out. What the kubelet accepts means the same afterwards: names of fields
 * in any case, `null` for an absent field, and the last of several values. Never throws.
 */
export function parseDockerConfig(text: string | undefined): DockerConfig {
  const auths = new Map<string, Reading>();
  const malformed: Malformed[] = [];
  const report: Report = (place, text) => {
    if (malformed.length < maxReported.parts) {
      malformed.push({ place, text });
    }
  };
  for (const member of membersOfDocument(text, report)) {
    if (fold(member.name) === 'auths') {
      readAuths(member, auths, report);
    } else {
      report(quoted(member.name), 'is not in "auths", the only part that the kubelet uses');
    }
  }
  return {
    auths: new Map([...auths].map(([registry, { entry }]) => [registry, entry])),
    anonymous: new Set([...auths].filter(([, reading]) => reading.anonymous).map(([registry]) => registry)),
    malformed,
  };
}

type Report = (place: string, text: string) => void;

/** An entry that the kubelet accepts. */
interface Reading {
  readonly entry: AuthEntry;
  readonly anonymous: boolean;
}

function membersOfDocument(text: string | undefined, report: Report): Member[] {
  if (text === undefined || text === '') {
    report('.dockerconfigjson', 'is missing or empty');
    return [];
  }
  if (!isJson(text)) {
    report('.dockerconfigjson', 'is not JSON');
    return [];
  }
  const members = membersOf(text);
  if (members === undefined && !isNull(text)) {
    report('.dockerconfigjson', 'is not a JSON object');
  }
  return members ?? [];
}

/** Adds the entries of one `auths`. A document can hold several, which Go's decoder merges unless one is `null`. */
function readAuths({ json }: Member, auths: Map<string, Reading>, report: Report): void {
  const members = membersOf(json);
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
    const place = `auths[${quoted(registry)}]`;
    const reading = readEntry(member, (field, text) => report(`${place}[${quoted(field)}]`, text));
    if (typeof reading === 'string') {
      report(place, reading);
    } else {
      auths.set(registry, reading);
    }
  }
}

/** @returns a text that says why the kubelet refuses the entry */
function readEntry({ json, depth }: Member, report: Report): Reading | string {
  if (depth > maxEntryDepth) {
    return 'is nested more deeply than the kubelet accepts';
  }
  const members = membersOf(json);
  if (members === undefined) {
    return isNull(json) ? blank : 'is not an object';
  }
  if (members.length === 0) {
    return blank;
  }
  const known = members.filter(isKnown);
  const fields = new Map<string, string>();
  for (const { name, json } of known) {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'string') {
      fields.set(fold(name), value);
    } else if (value !== null) {
      return `has a value of "${fold(name)}" that is not a string`;
    }
  }
  const credentials = credentialsOf(fields);
  if (credentials === undefined) {
    return 'has a value of "auth" that is not base64 of USERNAME:PASSWORD';
  }
  // JSON.parse takes the last of several equal names, Go's decoder the last string of several names that differ in case only.
  const repeated = new Set(known.map(({ name }) => fold(name))).size < known.length;
  const kept = repeated ? members.filter((member) => !isKnown(member)) : members;
  return {
    entry: Object.fromEntries([...(repeated ? fields : []), ...valuesOf(kept, report)]),
    anonymous: credentials === ':',
  };
}

const blank: Reading = { entry: {}, anonymous: true };

function valuesOf(members: readonly Member[], report: Report): [string, unknown][] {
  return members.flatMap(({ name, json, depth }) => {
    if (depth <= maxFieldDepth) {
      return [[name, parseExact(json)]];
    }
    report(name, `is nested more than ${maxFieldDepth} levels deep`);
    return [];
  });
}

/**
 * `JSON.parse`, except that `JSON.stringify` writes each number as it was. Otherwise 1e20 becomes longer, so that a Secret can
 * outgrow 1 MiB, and large numbers become others. Recursive: for values of a known depth.
 */
function parseExact(json: string): unknown {
  return parseWithSource(json, (_name, value, { source }) =>
    typeof value === 'number' && String(value) !== source ? rawJson(source) : value,
  );
}

// ECMAScript's JSON.parse with source text access, which TypeScript's `es2024` does not declare.
type Reviver = (name: string, value: unknown, context: { readonly source: string }) => unknown;
const { parse: parseWithSource, rawJSON: rawJson } = JSON as unknown as {
  parse(json: string, reviver: Reviver): unknown;
  rawJSON(json: string): unknown;
};

const knownFields: ReadonlySet<string> = new Set(['username', 'password', 'email', 'auth']);

function isKnown({ name }: Member): boolean {
  return knownFields.has(fold(name));
}

/** `USERNAME:PASSWORD`, empty where there are none; undefined where `auth`, which comes first, cannot be decoded. */
function credentialsOf(fields: ReadonlyMap<string, string>): string | undefined {
  const auth = fields.get('auth') ?? '';
  if (auth === '') {
    return `${fields.get('username') ?? ''}:${fields.get('password') ?? ''}`;
  }
  const decoded = fromBase64(auth);
  return decoded?.includes(':') === true ? decoded : undefined;
}

/**
 * Decodes standard base64, padded or not, as Go's `encoding/base64` does: line breaks are skipped and other whitespace is
 * not. `atob` skips all whitespace.
 * @returns a character for each byte; undefined where the text is not base64
 */
function fromBase64(text: string): string | undefined {
  const encoded = text.replace(/[\r\n]/g, '');
  const padding = encoded.endsWith('==') ? 2 : encoded.endsWith('=') ? 1 : 0;
  const digits = encoded.slice(0, encoded.length - padding);
  const complete = padding === 0 ? digits.length % 4 !== 1 : encoded.length % 4 === 0;
  return complete && /^[A-Za-z0-9+/]*$/.test(digits) ? atob(digits) : undefined;
}

/** A field's name in lower case. Go's decoder ignores case by Unicode's simple folding, where U+017F is an s. */
function fold(name: string): string {
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

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, maxReported.nameLength));
}
