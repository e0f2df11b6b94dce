// Removes credentials from text, and makes characters visible that could deceive a reader.

const redacted = '[redacted]';

/**
 * The shortest run of base64 characters that counts as a credential. An ECR password has more than 2,000. No host, ARN or
 * digest in the log has a run of 100 with an uppercase letter.
 */
const minTokenLength = 100;

/**
 * The longest legal name of a Kubernetes object, a DNS subdomain: lowercase letters, digits, `-` and `.`
 * (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
 */
const maxNameLength = 253;

/**
 * Runs of base64, base64url and percent-encoded characters, also with line breaks, which PEM, MIME and `base64` insert after
 * 64 or 76 characters. A line break may be written as `\n`.
 */
const base64Runs =
  /(?<![A-Za-z0-9+/_=%-])[A-Za-z0-9+/_=%-]{16,}(?:(?:[\r\n\v\f\x85\u2028\u2029]+[ \t]{0,16}|(?:\\r|\\n)+)[A-Za-z0-9+/_=%-]{16,})*(?:(?:[\r\n]+|(?:\\r|\\n)+)[A-Za-z0-9+/_=%-]+)?/g;

const lineBreaks = /[\s\x85]+|\\r|\\n/;

/**
 * Patterns of credentials, and their replacements. Each pattern takes linear time, because no part of a text can match it in
 * two ways.
 */
const redactionRules: readonly (readonly [RegExp, string | ((match: string) => string)])[] = [
  // a private key, also without its end
  [
    /-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|$)/g,
    redacted,
  ],
  [base64Runs, (run) => (isToken(run) ? redacted : run)],
  // a JSON web token, an ECR password (base64 of `{"`) or an ECR authorization token (base64 of `AWS:`)
  [/(?:eyJ|QVdTO)[A-Za-z0-9+/_=%-]{16,}(?:\.[A-Za-z0-9_-]+)*/g, redacted],
  // an ECR authorization token, decoded; not the type of a resource (`AWS::ECR::Repository`)
  [/AWS:(?!:)[^\s"'\\,;@]{8,}/g, `AWS:${redacted}`],
  // an AWS access key ID; without \b, which does not match in `x_AKIA…` and `\nAKIA…`
  [/A[KS]IA[A-Z0-9]{12,}/g, redacted],
  // user and password of a URL; not the repository of an image before its digest
  [/(:(?:\/\/|\\\/\\\/|%2F%2F))[^\s/?#"'<>\\]{1,512}@(?!sha\d)/gi, `$1${redacted}@`],
  // HTTP credentials
  [
    /((?:[Bb]asic|BASIC|[Bb]earer|BEARER)[ \t]{1,4})(?=\S{0,64}[A-Z])(?=\S{0,64}[a-z])(?=\S{0,64}[\d=+/])[A-Za-z0-9+/._~=-]{12,}/g,
    `$1${redacted}`,
  ],
  [
    /(authorization\\?["']?[ \t]{0,4}[:=][ \t]{0,4}\\?["']?)(?:(?:basic|bearer|negotiate) [A-Za-z0-9+/._~=-]{4,}|[A-Za-z0-9+/._~=-]{16,})/gi,
    `$1${redacted}`,
  ],
  // a presigned URL or a signed request (Signature Version 4 and 2)
  [
    /((?:X-Amz-(?:Signature|Security-Token|Credential)|\bSignature)\\?["']?(?:[ \t]{0,4}[:=][ \t]{0,4}|%3D)\\?["']?)[^\s&"'<>,;\\[]{8,}/gi,
    `$1${redacted}`,
  ],
  // a value after the name of a secret
  [
    /((?:secret[-_]?access[-_]?key|session[-_]?token|security[-_]?token|authorization[-_]?token|password|passwd)\\{0,3}["']?(?:[ \t]{0,4}[:=][ \t]{0,4}|%3D)\\{0,3}["']?)[^\s"'&,;\\{}[\]]{4,}/gi,
    `$1${redacted}`,
  ],
];

/** Whether a run of base64 characters is a credential and not a name. */
function isToken(run: string): boolean {
  if (run.length < minTokenLength) {
    return false;
  }
  const pieces = run.split(lineBreaks);
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  // one in 10^22 tokens has no uppercase letter in 100 characters
  return (
    (length >= minTokenLength && /[A-Z]/.test(run)) ||
    pieces.some((piece) => piece.split('/').some((name) => name.length > maxNameLength))
  );
}

/** Kinds of characters that {@link isPlain} checks, by the lower byte of the character's code. */
const uppercase = 1;
const special = 2;
const characterKinds = Uint8Array.from({ length: 256 }, (_, code) => {
  const character = String.fromCharCode(code);
  return /[a-z0-9 ._/,()-]/.test(character) ? 0 : /[A-Z]/.test(character) ? uppercase : special;
});

/** The shortest text of letters and digits to which a rule applies, an access key ID. */
const minMixedLength = 16;

/**
 * Whether a text can be shown unchanged, because no rule applies to a valid name or to a few words. Takes less than a
 * nanosecond per character. Most logged strings are plain.
 */
export function isPlain(text: string): boolean {
  const { length } = text;
  if (length > maxNameLength) {
    return false;
  }
  let found = 0;
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at);
    found |= (characterKinds[code & 0xff] ?? special) | (code >> 8 === 0 ? 0 : special);
  }
  return found === 0 || (found === uppercase && length < minMixedLength);
}

/**
 * Replaces everything that looks like a credential. It is the second line of defense, after types that do not print
 * themselves. Takes values and not lines of JSON, where an escape could be cut or hide the beginning of a word.
 */
export function scrub(text: string): string {
  return isPlain(text)
    ? text
    : redactionRules.reduce(
        (scrubbed, [pattern, by]) =>
          typeof by === 'string' ? scrubbed.replace(pattern, by) : scrubbed.replace(pattern, by),
        text,
      );
}

/**
 * Characters that JSON does not escape and that can reorder, hide or break the output of a terminal: DEL and C1 controls,
 * line separators, bidirectional and zero-width characters, tags, and lone surrogates.
 */
const deceptiveCharacters =
  /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Surrogate}]/gu;

/** Replaces deceptive characters by their code, as in `<U+202E>`. JSON escapes those below U+0020. */
export function escapeDeceptive(text: string): string {
  return text.replace(deceptiveCharacters, formatCodePoint);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern matches them
const controlCharacters = /[\x00-\x08\x0b-\x1f]/g;

/**
 * Prepares a text for a terminal: removes credentials, and makes all control characters except tabs and line breaks visible,
 * so that no value can move the cursor or set the title.
 */
export function toPrintable(text: string): string {
  return escapeDeceptive(scrub(text)).replace(controlCharacters, formatCodePoint);
}

/** Prepares a value that is part of a line. It can neither control the terminal nor begin another line. */
export function toPrintableLine(text: string): string {
  return toPrintable(text).replace(/\s+/g, ' ');
}

function formatCodePoint(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
  return `<U+${hex.padStart(4, '0')}>`;
}
