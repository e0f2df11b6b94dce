// The facts that the certificate policy decides on, and the reasons for its steps: pure.

/** The validity of a certificate, in ms since the epoch. */
export interface Lifetime {
  readonly validFrom: number;
  /** When it was issued: some minutes after `validFrom`, which is backdated. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** The facts about a CA. */
export interface CaFacts extends Lifetime {
  /** SHA-256 fingerprint of the certificate. */
  readonly id: string;
}

/** The facts about a serving certificate. */
export interface ServingCertificateFacts extends Lifetime {
  /** SHA-256 fingerprint of the certificate. */
  readonly id: string;
  /** Id of the CA in the same Secret that signed it; undefined if none of them did. */
  readonly issuerId: string | undefined;
  /** Configured names that the certificate does not cover. */
  readonly missingNames: readonly string[];
}

/** The facts about the Secret. */
export interface StoredCertificateFacts {
  /** Newest first. */
  readonly caCertificates: readonly CaFacts[];
  /** Why the newest CA cannot sign certificates; undefined if it can. */
  readonly caProblem: RenewalReason | undefined;
  readonly servingCertificate: ServingCertificateFacts | undefined;
  /** Why there is no usable serving certificate; undefined if there is one. */
  readonly servingCertificateProblem: RenewalReason | undefined;
}

/** The facts about one webhook's `caBundle`. */
interface BundleFacts {
  /** Ids of its CAs. */
  readonly ids: readonly string[];
  /** Whether it contains anything but CA certificates. */
  readonly isMalformed: boolean;
}

/**
 * What the webhook configuration publishes. `unknown`: it cannot be read. `no-webhook`: it does not exist or has no
 * webhooks, so no API server calls this program.
 */
export type PublishedState =
  | 'unknown'
  | 'no-webhook'
  | {
      /** One per webhook. */
      readonly bundles: readonly BundleFacts[];
      /** Id of each CA that is in all bundles → for how long it has been observed there, in ms. */
      readonly forMs: ReadonlyMap<string, number>;
    };

/** The input of the certificate policy. */
export interface ObservedCertificates {
  /** `unmanaged`: a Secret of this name exists but is not managed by this program. */
  readonly stored: StoredCertificateFacts | 'none' | 'unmanaged';
  readonly published: PublishedState;
  /** CAs that are published, and the CA of the certificate that this replica serves. */
  readonly otherCaCertificates: readonly CaFacts[];
  /** The certificate in this process's memory: the last one that it read from the Secret and served. */
  readonly served?: ServingCertificateFacts | undefined;
  /** ms since the epoch. */
  readonly now: number;
}

/** Returns when to renew a certificate: after two thirds of its lifetime, as cert-manager does. In ms since the epoch. */
export function getRenewalTime({ issuedAt, expiresAt }: Lifetime): number {
  return issuedAt + ((expiresAt - issuedAt) * 2) / 3;
}

/** Whether `now` (ms since the epoch) is within the validity. */
export function isWithinValidity({ validFrom, expiresAt }: Lifetime, now: number): boolean {
  return validFrom <= now && now <= expiresAt;
}

/** Returns why a certificate is outside its validity; undefined if it is valid, or if there is none. */
export function findValidityProblem(
  kind: 'ca' | 'serving-certificate',
  lifetime: Lifetime | undefined,
  now: number,
): RenewalReason | undefined {
  if (lifetime === undefined || isWithinValidity(lifetime, now)) {
    return undefined;
  }
  return now < lifetime.validFrom ? `${kind}-not-yet-valid` : `${kind}-expired`;
}

/** Returns why the bundles must be written; undefined if each contains exactly the wanted CAs. */
export function findPublishReason(
  published: PublishedState,
  wanted: readonly string[],
): RenewalReason | undefined {
  if (typeof published === 'string') {
    return undefined;
  }
  const reasons = published.bundles.map(({ ids, isMalformed }): RenewalReason | undefined => {
    if (isMalformed) {
      return 'bundle-malformed';
    }
    if (ids.length === 0) {
      return 'bundle-empty';
    }
    if (wanted.some((id) => !ids.includes(id))) {
      return 'bundle-ca-missing';
    }
    return ids.length > wanted.length ? 'bundle-extra-ca' : undefined;
  });
  return reasons.find((reason) => reason !== undefined);
}

/** Whether a CA has been published for so long that all API servers trust it. */
export function isPropagated(
  published: PublishedState,
  id: string | undefined,
  apiServerPropagationMs: number,
): boolean {
  if (typeof published === 'string') {
    return published === 'no-webhook';
  }
  return id !== undefined && (published.forMs.get(id) ?? -1) >= apiServerPropagationMs;
}

/** Reasons of the regular rotation, with their texts for the log. */
const rotationReasons = {
  'ca-due': 'two thirds of the lifetime of the CA have passed',
  'ca-changed': 'all API servers trust the new CA',
  'serving-certificate-due': 'two thirds of the lifetime of the certificate have passed',
  'old-ca-unused': 'the last certificate of the old CA has expired',
  'old-ca-expired': 'an old CA has expired',
  'bundle-ca-missing': 'the webhook configuration lacks a CA',
  'bundle-extra-ca': 'the webhook configuration contains a CA that is not, or no longer, in the Secret',
} as const;

/** Reasons to repair what is missing or invalid, with their texts for the log. */
const repairReasons = {
  'no-secret': 'the Secret does not exist',
  'ca-missing': 'ca.crt contains no CA certificate',
  'ca-key-invalid': 'ca.key is not an RSA key in PEM',
  'ca-key-mismatch': 'ca.key is not the key of the first CA in ca.crt',
  'ca-expired': 'the CA has expired',
  'ca-not-yet-valid': 'the CA is not yet valid',
  'serving-certificate-missing': 'tls.crt and tls.key contain no certificate',
  'serving-certificate-invalid': 'tls.crt is not a certificate that TLS can serve',
  'serving-certificate-key-invalid': 'tls.key is not a key in PEM',
  'serving-certificate-key-mismatch': 'tls.key is not the key of tls.crt',
  'serving-certificate-unknown-ca': 'tls.crt is not signed by a CA in ca.crt',
  'serving-certificate-expired': 'the certificate has expired',
  'serving-certificate-not-yet-valid': 'the certificate is not yet valid',
  'serving-certificate-names-missing': 'the certificate does not cover all configured names',
  'bundle-empty': 'the webhook configuration has no caBundle',
  'bundle-malformed': 'the caBundle of the webhook configuration contains data that is not a CA certificate',
} as const;

/** Why the policy takes a step. */
export type RenewalReason = keyof typeof rotationReasons | keyof typeof repairReasons;

/** What each reason means, for the log. */
export const reasonTexts: Readonly<Record<RenewalReason, string>> = { ...rotationReasons, ...repairReasons };

/** Whether a step for this reason is part of the regular rotation, and not a repair. */
export function isRotation(reason: RenewalReason): boolean {
  return Object.hasOwn(rotationReasons, reason);
}
