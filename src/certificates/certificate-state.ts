/** A validity, ms since the epoch. */
export interface Lifetime {
  readonly validFrom: number;
  /** When it was made: some minutes after it begins. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** What is to be known of a CA. */
export interface CaFacts extends Lifetime {
  /** SHA-256 of the certificate. */
  readonly id: string;
}

/** What is to be known of a serving certificate. */
export interface ServingCertificateFacts extends Lifetime {
  readonly id: string;
  /** The CA, among those that stand beside it, that signed it; undefined: none of them. */
  readonly issuerId: string | undefined;
  /** Names that are wanted and that it is not for. */
  readonly missingNames: readonly string[];
}

/** What is to be known of the Secret. */
export interface StoredCertificateFacts {
  /** Newest first. */
  readonly caCertificates: readonly CaFacts[];
  /** Why nothing can be signed with the first of them. */
  readonly caProblem: RenewalReason | undefined;
  readonly servingCertificate: ServingCertificateFacts | undefined;
  /** Why there is no `leaf`. */
  readonly servingCertificateProblem: RenewalReason | undefined;
}

/** A webhook's caBundle. */
interface BundleFacts {
  /** The CAs in it. */
  readonly ids: readonly string[];
  /** Whether there is something in it that is no CA. */
  readonly isMalformed: boolean;
}

/**
 * What the webhook configuration says. `unknown`: it cannot be read. `nowhere`: there is none, or no webhook in it, so
 * nobody calls us.
 */
export type PublishedState =
  | 'unknown'
  | 'nowhere'
  | {
      /** Of each webhook. */
      readonly bundles: readonly BundleFacts[];
      /** CAs that stand in all of them, and for how long they were seen there, ms. */
      readonly forMs: ReadonlyMap<string, number>;
    };

/** All that a decision is made on. */
export interface ObservedCertificates {
  /** `foreign`: there is a Secret of our name, and somebody else made it. */
  readonly stored: StoredCertificateFacts | 'none' | 'foreign';
  readonly published: PublishedState;
  /** CAs that stand in a bundle or behind what this replica serves. */
  readonly otherCaCertificates: readonly CaFacts[];
  /** The certificate in this process's memory, the last that it took from the Secret. */
  readonly served?: ServingCertificateFacts | undefined;
  /** ms since the epoch. */
  readonly now: number;
}

/** When to be replaced: at two thirds of its life, as cert-manager does. */
export function getRenewalTime({ issuedAt, expiresAt }: Lifetime): number {
  return issuedAt + ((expiresAt - issuedAt) * 2) / 3;
}

export function isWithinValidity({ validFrom, expiresAt }: Lifetime, now: number): boolean {
  return validFrom <= now && now <= expiresAt;
}

export function findValidityProblem(
  what: 'authority' | 'leaf',
  life: Lifetime | undefined,
  now: number,
): RenewalReason | undefined {
  if (life === undefined || isWithinValidity(life, now)) return undefined;
  return now < life.validFrom ? `${what}-not-yet-valid` : `${what}-expired`;
}

/** Why the bundles have to be written; undefined: each holds the wanted CAs and no others. */
export function findPublishReason(
  published: PublishedState,
  wanted: readonly string[],
): RenewalReason | undefined {
  if (typeof published === 'string') return undefined;
  const reasons = published.bundles.map(({ ids, isMalformed }): RenewalReason | undefined => {
    if (isMalformed) return 'bundle-garbled';
    if (ids.length === 0) return 'bundle-empty';
    if (wanted.some((id) => !ids.includes(id))) return 'bundle-lacks-authority';
    return ids.length > wanted.length ? 'bundle-holds-others' : undefined;
  });
  return reasons.find((reason) => reason !== undefined);
}

/** Whether a CA has been published for long enough that every API server knows it. */
export function isPropagated(
  published: PublishedState,
  id: string | undefined,
  apiServerPropagationMs: number,
): boolean {
  if (typeof published === 'string') return published === 'nowhere';
  return id !== undefined && (published.forMs.get(id) ?? -1) >= apiServerPropagationMs;
}

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

const repair = {
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

export type RenewalReason = keyof typeof routine | keyof typeof repair;

/** In words, for the log. */
export const reasonTexts: Readonly<Record<RenewalReason, string>> = { ...routine, ...repair };

/** Whether this is what happens by itself as time goes by. */
export function isRoutine(reason: RenewalReason): boolean {
  return Object.hasOwn(routine, reason);
}
