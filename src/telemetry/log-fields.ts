// Makes any value safe for a log line: without credentials, of bounded size, and without ever throwing.
import { format } from 'node:util';
import { escapeDeceptive, isPlain, scrub } from './redact.ts';

/** Maximum characters of a string. */
const maxTextLength = 1024;

/** Maximum characters of a stack. It is longer, because only the stack shows where a bug is. */
const maxStackLength = 4096;

/** Maximum characters of a key. */
const maxKeyLength = 128;

/** Maximum items of a list, and keys of an object. */
const maxItems = 100;

/** Maximum depth of objects and lists. */
const maxDepth = 6;

/**
 * Size in bytes of JSON above which no more fields are added to a line. With the last field, the marks for what is
 * omitted and a message (up to six bytes per character), a line stays below the 16 KiB at which container runtimes split it
 * (`defaultBufSize` in containerd's internal/cri/io, `defaultBufSize` in moby's daemon/logger).
 */
const maxFieldsBytes = 8192;

const unreadable = '[unreadable]';

/** How much the remaining fields of a line may take, in bytes of JSON. */
interface Budget {
  bytes: number;
}

/**
 * Makes the arguments of a logging method safe to serialize: scrubs and bounds every key and every string of the fields, at
 * any depth, and the message. Never throws.
 * @param args as pino takes them: fields or an error, a message, and values for the placeholders of the message
 */
export function cleanArguments(
  args: readonly unknown[],
): [fields: Record<string, unknown>, message?: string] {
  const first = args[0];
  const isMessage = first !== undefined && typeof first !== 'object';
  const fields = typeof first === 'object' && first !== null ? cleanFields(first) : {};
  const at = isMessage ? 0 : 1;
  const message = args.length > at + 1 ? formatMessage(args.slice(at)) : args[at];
  return message === undefined ? [fields] : [fields, cleanText(toText(message), maxTextLength)];
}

/**
 * Returns what may be logged of an error: its type, code and message, and its stack if it has no code. Its other properties
 * are omitted, because errors of the AWS SDK and of the Kubernetes client hold whole responses. Texts are scrubbed, and cut
 * to four times what a line shows.
 */
export function serializeError(error: unknown): Record<string, string> {
  if (!isError(error)) {
    return { message: scrubHead(toText(error), maxTextLength) };
  }
  const code = readProperty(error, 'code');
  const known =
    typeof code === 'string' || typeof code === 'number'
      ? { code: scrubHead(`${code}`, maxTextLength) }
      : undefined;
  return {
    type: scrubHead(toText(readProperty(error, 'name')), maxTextLength),
    ...known,
    message: scrubHead(toText(readProperty(error, 'message')), maxTextLength),
    ...(known === undefined && {
      stack: scrubHead(toText(readProperty(error, 'stack') ?? ''), maxStackLength),
    }),
  };
}

/** Scrubs only the part of a text that can be shown. */
function scrubHead(text: string, max: number): string {
  return scrub(text.slice(0, findScanEnd(text, max)));
}

function cleanFields(fields: object): Record<string, unknown> {
  const budget = { bytes: maxFieldsBytes };
  try {
    if (isClean(fields)) {
      return fields;
    }
    if (isError(fields)) {
      return cleanObject({ err: fields }, 0, budget);
    }
    return isIndexed(fields) ? { value: cleanReference(fields, 1, budget) } : cleanObject(fields, 0, budget);
  } catch {
    return { fields: unreadable };
  }
}

/**
 * Whether the fields are a plain object of a few short, plain strings, as in nearly all lines. Such fields are not copied,
 * which saves a tenth of the time of a line.
 */
function isClean(fields: object): fields is Record<string, string> {
  if (Object.getPrototypeOf(fields) !== Object.prototype) {
    return false;
  }
  const values = fields as Record<string, unknown>;
  let bytes = 0;
  for (const key in values) {
    const value = values[key];
    if (typeof value !== 'string' || !isPlain(value) || !isPlain(key) || key === 'err') {
      return false;
    }
    bytes += key.length + value.length + 6;
  }
  return bytes <= maxFieldsBytes;
}

function cleanObject(object: object, depth: number, budget: Budget): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  let shown = 0;
  for (const key in object) {
    if (!Object.hasOwn(object, key)) {
      continue;
    }
    if (shown === maxItems || budget.bytes <= 0) {
      clean['[more]'] = Object.keys(object).length - shown;
      break;
    }
    shown += 1;
    const name = cleanKey(key, budget);
    const value = readProperty(object, key);
    clean[name] =
      key === 'err' && depth === 0
        ? cleanObject(serializeError(value), 1, budget)
        : cleanValue(value, key === 'stack' ? maxStackLength : maxTextLength, depth + 1, budget);
  }
  return clean;
}

function cleanList(list: readonly unknown[], depth: number, budget: Budget): unknown[] {
  const clean: unknown[] = [];
  for (let at = 0; at < list.length; at += 1) {
    if (at === maxItems || budget.bytes <= 0) {
      clean.push(`[${list.length - at} more]`);
      break;
    }
    clean.push(cleanValue(list[at], maxTextLength, depth + 1, budget));
  }
  return clean;
}

/** @param max the maximum characters of a string */
function cleanValue(value: unknown, max: number, depth: number, budget: Budget): unknown {
  switch (typeof value) {
    case 'string':
      if (value.length + 3 <= budget.bytes && isPlain(value)) {
        budget.bytes -= value.length + 3; // the most frequent case
        return value;
      }
      return fitToBudget(cleanText(value, max), budget);
    case 'bigint':
      return fitToBudget(cleanText(toText(value), max), budget);
    case 'object':
      return cleanReference(value, depth, budget);
    case 'number':
    case 'boolean':
      budget.bytes -= 24; // the longest number, and a comma
      return value;
    default:
      return undefined;
  }
}

function cleanReference(value: object | null, depth: number, budget: Budget): unknown {
  budget.bytes -= 5;
  if (value === null) {
    return null;
  }
  try {
    if (isError(value)) {
      return cleanObject(serializeError(value), depth, budget);
    }
    if (ArrayBuffer.isView(value)) {
      return `[${value.byteLength} bytes]`; // scrubbing does not find credentials in numbers
    }
    if (value instanceof String) {
      return cleanValue(String.prototype.valueOf.call(value), maxTextLength, depth, budget);
    }
    if (depth > maxDepth) {
      return Array.isArray(value) ? '[list]' : '[object]';
    }
    if (Array.isArray(value)) {
      return cleanList(value, depth, budget);
    }
    return 'toJSON' in value && typeof value.toJSON === 'function'
      ? cleanValue(value.toJSON(), maxTextLength, depth + 1, budget)
      : cleanObject(value, depth, budget);
  } catch {
    return unreadable; // a getter, a `toJSON` or a proxy that throws
  }
}

/** Returns the text, or its length if it does not fit into the line. */
function fitToBudget(text: string, budget: Budget): string {
  const bytes = Buffer.byteLength(JSON.stringify(text)) + 1;
  if (bytes > budget.bytes) {
    budget.bytes = 0;
    return `[${text.length} characters]`;
  }
  budget.bytes -= bytes;
  return text;
}

function cleanKey(key: string, budget: Budget): string {
  if (isPlain(key) && key.length <= maxKeyLength && key !== '__proto__') {
    budget.bytes -= key.length + 3;
    return key;
  }
  // an assignment to `__proto__` would not create a property
  const clean = key === '__proto__' ? '[__proto__]' : cleanText(key, maxKeyLength);
  budget.bytes -= Buffer.byteLength(JSON.stringify(clean)) + 1;
  return clean;
}

/** Scrubs before it cuts, so that the beginning of a credential is never left. */
function cleanText(text: string, max: number): string {
  if (isPlain(text)) {
    return text;
  }
  const head = text.slice(0, findScanEnd(text, max));
  const shown = escapeDeceptive(scrub(head));
  const unseen = text.length - head.length;
  if (unseen === 0 && shown.length <= max) {
    return shown;
  }
  const end = findCharacterBoundary(shown, max);
  const cut = shown.length - Math.min(end, shown.length) + unseen;
  return `${shown.slice(0, end)}[${cut} more characters]`;
}

/** Returns how much of a text is scrubbed: up to the last space within four times what is shown, so that no word is cut. */
function findScanEnd(text: string, max: number): number {
  const maxScanned = 4 * max;
  if (text.length <= maxScanned) {
    return text.length;
  }
  let end = maxScanned;
  while (end > maxScanned - max && !/\s/.test(text.charAt(end))) {
    end -= 1;
  }
  return end;
}

/** Returns `max`, or one less if that would cut a surrogate pair in half. */
function findCharacterBoundary(text: string, max: number): number {
  const last = text.charCodeAt(max - 1);
  return last >= 0xd800 && last <= 0xdbff ? max - 1 : max;
}

/** Larger integers are not formatted, because that can take minutes. */
const maxIntegerBits = 256;

function toText(value: unknown): string {
  if (typeof value === 'string') {
    return value;
  }
  if (typeof value === 'bigint' && BigInt.asIntN(maxIntegerBits, value) !== value) {
    return '[large integer]';
  }
  try {
    // not the object's own `toString`, whose result is unbounded for nested lists
    return typeof value === 'object' ? Object.prototype.toString.call(value) : String(value);
  } catch {
    return unreadable;
  }
}

/** Fills the placeholders of a message with values that are cleaned one by one. */
function formatMessage([message, ...values]: readonly unknown[]): string {
  const budget = { bytes: maxFieldsBytes };
  try {
    return format(toText(message), ...values.map((value) => cleanValue(value, maxTextLength, 1, budget)));
  } catch {
    return unreadable; // for example because of a field named `toString`
  }
}

/** Whether the value would be logged with one property for each item or character. */
function isIndexed(value: object): boolean {
  return Array.isArray(value) || ArrayBuffer.isView(value) || value instanceof String;
}

function isError(value: unknown): value is Error {
  try {
    return value instanceof Error;
  } catch {
    return false; // a proxy whose prototype cannot be read
  }
}

function readProperty(object: object, key: string): unknown {
  try {
    return (object as Record<string, unknown>)[key];
  } catch {
    return unreadable;
  }
}
