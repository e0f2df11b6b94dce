import type { Reason } from './reasons.ts';

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
