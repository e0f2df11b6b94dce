/** A validity, ms since the epoch. */
export interface Life {
  readonly beginsAt: number;
  /** When it was made: some minutes after it begins. */
  readonly issuedAt: number;
  readonly endsAt: number;
}

/** What is to be known of a CA. */
export interface AuthorityFacts extends Life {
  /** SHA-256 of the certificate. */
  readonly id: string;
}

/** What is to be known of a serving certificate. */
export interface LeafFacts extends Life {
  readonly id: string;
  /** The CA, among those that stand beside it, that signed it; undefined: none of them. */
  readonly authority: string | undefined;
  /** Names that are wanted and that it is not for. */
  readonly lacks: readonly string[];
}

/** What is to be known of the Secret. */
export interface StoredFacts {
  /** Newest first. */
  readonly authorities: readonly AuthorityFacts[];
  /** Why nothing can be signed with the first of them. */
  readonly authorityProblem: Reason | undefined;
  readonly leaf: LeafFacts | undefined;
  /** Why there is no `leaf`. */
  readonly leafProblem: Reason | undefined;
}

/** A webhook's caBundle. */
interface BundleFacts {
  /** The CAs in it. */
  readonly ids: readonly string[];
  /** Whether there is something in it that is no CA. */
  readonly garbled: boolean;
}

/**
 * What the webhook configuration says. `unknown`: it cannot be read. `nowhere`: there is none, or no webhook in it, so
 * nobody calls us.
 */
export type Published =
  | 'unknown'
  | 'nowhere'
  | {
      /** Of each webhook. */
      readonly bundles: readonly BundleFacts[];
      /** CAs that stand in all of them, and for how long they were seen there, ms. */
      readonly forMs: ReadonlyMap<string, number>;
    };

/** All that a decision is made on. */
export interface Seen {
  /** `foreign`: there is a Secret of our name, and somebody else made it. */
  readonly stored: StoredFacts | 'none' | 'foreign';
  readonly published: Published;
  /** CAs that stand in a bundle or behind what this replica serves. */
  readonly elsewhere: readonly AuthorityFacts[];
  /** The certificate in this process's memory, the last that it took from the Secret. */
  readonly served?: LeafFacts | undefined;
  /** ms since the epoch. */
  readonly now: number;
}

/** When to be replaced: at two thirds of its life, as cert-manager does. */
export function dueAt({ issuedAt, endsAt }: Life): number {
  return issuedAt + ((endsAt - issuedAt) * 2) / 3;
}

export function begunAndNotEnded({ beginsAt, endsAt }: Life, now: number): boolean {
  return beginsAt <= now && now <= endsAt;
}

export function troubleInTime(
  what: 'authority' | 'leaf',
  life: Life | undefined,
  now: number,
): Reason | undefined {
  if (life === undefined || begunAndNotEnded(life, now)) return undefined;
  return now < life.beginsAt ? `${what}-not-yet-valid` : `${what}-expired`;
}

/** Why the bundles have to be written; undefined: each holds the wanted CAs and no others. */
export function publishingReason(published: Published, wanted: readonly string[]): Reason | undefined {
  if (typeof published === 'string') return undefined;
  const reasons = published.bundles.map(({ ids, garbled }): Reason | undefined => {
    if (garbled) return 'bundle-garbled';
    if (ids.length === 0) return 'bundle-empty';
    if (wanted.some((id) => !ids.includes(id))) return 'bundle-lacks-authority';
    return ids.length > wanted.length ? 'bundle-holds-others' : undefined;
  });
  return reasons.find((reason) => reason !== undefined);
}

/** Whether a CA has been published for long enough that every API server knows it. */
export function settled(published: Published, id: string | undefined, settleMs: number): boolean {
  if (typeof published === 'string') return published === 'nowhere';
  return id !== undefined && (published.forMs.get(id) ?? -1) >= settleMs;
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
