/** Why something is done, and how the log says it. Routine first; the others mend what should not be. */
const routine = {
  'authority-due': 'two thirds of the life of the CA were over',
  'authority-changed': 'the new CA was known everywhere',
  'leaf-due': 'two thirds of the life of the certificate were over',
  'old-authority-unused': 'the last certificate of the old CA had ended',
  'old-authority-expired': 'an old CA had expired',
  'bundle-lacks-authority': 'the webhook configuration lacked a CA',
  'bundle-holds-others': 'the webhook configuration held a CA that is not one of ours, or no longer',
} as const;

const mending = {
  'no-secret': 'there was no Secret',
  'authority-missing': 'the Secret held no CA certificate in ca.crt',
  'authority-key-bad': 'ca.key was no RSA key in PEM',
  'authority-key-mismatch': 'ca.key was not the key of the first CA in ca.crt',
  'authority-expired': 'the CA had expired',
  'authority-not-yet-valid': 'the CA was not valid yet',
  'leaf-missing': 'the Secret held no certificate in tls.crt and tls.key',
  'leaf-bad': 'tls.crt was no certificate that TLS can serve',
  'leaf-key-bad': 'tls.key was no key in PEM',
  'leaf-key-mismatch': 'tls.key was not the key of tls.crt',
  'leaf-of-unknown-authority': 'no CA of ca.crt had signed tls.crt',
  'leaf-expired': 'the certificate had expired',
  'leaf-not-yet-valid': 'the certificate was not valid yet',
  'leaf-lacks-names': 'the certificate was not for all names that are wanted',
  'bundle-empty': 'the webhook configuration had no caBundle',
  'bundle-garbled': 'the caBundle of the webhook configuration held something that is no CA',
} as const;

export type Reason = keyof typeof routine | keyof typeof mending;

/** In words, for the log. */
export const words: Readonly<Record<Reason, string>> = { ...routine, ...mending };

/** Whether this is what happens by itself as time goes by. */
export function isRoutine(reason: Reason): boolean {
  return Object.hasOwn(routine, reason);
}
