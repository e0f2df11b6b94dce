/**
 * What a token, a signed web identity or an AWS key id looks like inside a text. An ECR password is more than 2,000
 * such characters in a row; no host, ARN, digest or path that we log comes near 100. The lookbehind has each run looked
 * at once, from its beginning.
 */
const secretLike = /(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_=-]{100,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}/g;

/**
 * Replaces all that looks like a credential. The last line of defence behind types that do not print themselves: it
 * runs over whole log lines and over every text that came from outside. Linear in the length of the text.
 */
export function scrub(text: string): string {
  return text.replace(secretLike, '[redacted]');
}
