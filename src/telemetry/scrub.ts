/** An ECR password is more than 2,000 characters of base64; no host, ARN, digest or path that we log has 100 of them. */
const shortestSecret = 100;

/** A token, a signed web identity or an AWS key id inside a text. */
const secretLike = /(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_=-]{100,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}/g;

/** By character code: whether it may be part of a secret. */
const isSecretChar = Array.from({ length: 128 }, (_, code) =>
  /[A-Za-z0-9+/_=-]/.test(String.fromCharCode(code)),
);

/**
 * Replaces all that looks like a credential. The last line of defence behind types that do not print themselves: it
 * runs over whole log lines and over every text that came from outside. Linear in the length of the text, and next to
 * free where there is nothing to replace.
 */
export function scrub(text: string): string {
  const suspect = hasLongRun(text) || text.includes('AKIA') || text.includes('ASIA');
  return suspect ? text.replace(secretLike, '[redacted]') : text;
}

/** Looks at every hundredth character, and back from there to the first that ends a run. */
function hasLongRun(text: string): boolean {
  let end = shortestSecret - 1;
  while (end < text.length) {
    let at = end;
    while (at > end - shortestSecret && isSecretChar[text.charCodeAt(at)] === true) {
      at -= 1;
    }
    if (at === end - shortestSecret) {
      return true;
    }
    end = at + shortestSecret;
  }
  return false;
}
