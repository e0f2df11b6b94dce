// Describes which AWS identity fetches the tokens of a host. Pure.
import type { IdentityDecision, UnresolvedIdentity } from '../ecr/identity.ts';

/** Which identity fetches the tokens of a host in a namespace. Contains neither external ID nor policy. */
export type HostIdentity =
  /** The program's own credentials. */
  | { readonly kind: 'own' }
  | { readonly kind: 'role'; readonly roleArn: string; readonly rule: string | undefined }
  | { readonly kind: 'profile'; readonly profile: string; readonly rule: string | undefined }
  /** A rule denies the tokens. */
  | { readonly kind: 'denied'; readonly rule: string }
  /** What a rule needs is missing, so no token is fetched. */
  | { readonly kind: 'unresolved'; readonly rule: string; readonly cause: string }
  /** It was not possible to find out. */
  | { readonly kind: 'unknown'; readonly rule: string };

/** Whether an identity is not resolved because of facts that the caller could not read, although the program knows them. */
export function isUnknown({ code }: Pick<UnresolvedIdentity, 'code'>): boolean {
  return code === 'namespace-unknown' || code === 'service-account-unknown';
}

export function describeIdentity(decision: IdentityDecision): HostIdentity {
  switch (decision.access) {
    case 'denied':
      return { kind: 'denied', rule: decision.rule };
    case 'unresolved':
      return isUnknown(decision)
        ? { kind: 'unknown', rule: decision.rule }
        : { kind: 'unresolved', rule: decision.rule, cause: decision.message };
    case 'allowed': {
      const { role, profile, rule } = decision.identity;
      if (role !== undefined) {
        return { kind: 'role', roleArn: role.roleArn, rule };
      }
      return profile === undefined ? { kind: 'own' } : { kind: 'profile', profile, rule };
    }
  }
}

/** An identity in a few words, with the complete ARN of a role. */
export function formatIdentity(identity: HostIdentity): string {
  switch (identity.kind) {
    case 'own':
      return "the program's own identity";
    case 'role':
      return identity.roleArn;
    case 'profile':
      return `profile ${identity.profile}`;
    case 'denied':
      return `denied by ${identity.rule}`;
    case 'unresolved':
      return `none (${identity.rule})`;
    case 'unknown':
      return `unknown (${identity.rule})`;
  }
}
