// The AWS identities that fetch tokens, and what a namespace may get: an identity, nothing, or no decision yet.
import { getEndpointId, type Registry } from './registry.ts';

/** An IAM role to assume: parameters of AssumeRole or AssumeRoleWithWebIdentity, with all placeholders expanded. */
export interface Role {
  readonly roleArn: string;
  readonly externalId?: string | undefined;
  readonly sessionName?: string | undefined;
  /** An IAM policy as JSON text that restricts the session. */
  readonly sessionPolicy?: string | undefined;
  readonly sessionTags?: Readonly<Record<string, string>> | undefined;
}

/** A ServiceAccount whose token is exchanged for a session of a role. */
export interface WebIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The audience of its token. */
  readonly audience: string;
}

/** Who calls ECR. Everything that makes a token differ is part of it. */
export interface Identity {
  /** Exact and unique for each identity in this process. Contains neither external ID nor policy, so it may be logged. */
  readonly key: string;
  /**
   * Stored with each token, so it is the same in every process. Undefined for the process's own identity, and only for that.
   */
  readonly fingerprint: string | undefined;
  /** Whether it differs from namespace to namespace. */
  readonly isNamespaced: boolean;
  /**
   * Whether users can cause any number of identities of its rule: it depends on the namespace, or on the account that an image
   * names.
   */
  readonly isUnbounded: boolean;
  /** Path of the first rule with this identity, such as `registries[3]`; undefined: no rule names it. */
  readonly rule?: string | undefined;
  /** The role to assume; undefined: the base credentials call ECR themselves. */
  readonly role?: Role | undefined;
  /** The profile of the shared AWS files that has the base credentials; undefined: the process's own credentials. */
  readonly profile?: string | undefined;
  /** Used instead of base credentials to assume the role. */
  readonly webIdentity?: WebIdentity | undefined;
}

/** Why it is not known which identity applies. Nothing is fetched then, and nothing is removed. */
export type UnresolvedCode =
  /** A rule selects namespaces by their labels, and those of the namespace are not known. */
  | 'namespace-unknown'
  /** A rule needs the annotations of a ServiceAccount, and they are not known yet. */
  | 'service-account-unknown'
  | 'service-account-missing'
  /** Neither the ServiceAccount nor the rule names a role. */
  | 'role-missing'
  /** The ServiceAccount's annotation is not the ARN of a role. */
  | 'role-invalid'
  /** The ServiceAccount names a role that `allowedRoles` does not contain. */
  | 'role-not-allowed';

/** No identity is known for a namespace and a registry. */
export interface UnresolvedIdentity {
  readonly access: 'unresolved';
  readonly code: UnresolvedCode;
  /** Path of the rule, such as `registries[3]`. */
  readonly rule: string;
  /** What is missing, as a sentence without a final period. */
  readonly message: string;
}

/** A rule denies a namespace the tokens of a registry. */
export interface DeniedIdentity {
  readonly access: 'denied';
  /** Path of the rule, such as `registries[3]`. */
  readonly rule: string;
}

/** A host whose tokens a rule denies to the namespace. */
export interface DeniedHost {
  readonly host: string;
  /** Path of the rule, such as `registries[3]`. */
  readonly rule: string;
}

/** Which identity fetches the tokens of a registry for a namespace. */
export type IdentityDecision =
  | { readonly access: 'allowed'; readonly identity: Identity }
  | DeniedIdentity
  | UnresolvedIdentity;

/** Decides which identity fetches the tokens of a registry for a namespace. Does no I/O. */
export type IdentityResolver = (namespace: string, registry: Registry) => IdentityDecision;

/** Decides which identity fetches the tokens of a host for a namespace. Does no I/O. */
export type HostIdentityResolver = (namespace: string, host: string) => IdentityDecision;

/** The process's own identity: the credentials of its environment. */
export const defaultIdentity: Identity = {
  key: 'default',
  fingerprint: undefined,
  isNamespaced: false,
  isUnbounded: false,
};

/** The decision where no rule matches. */
export const defaultDecision: IdentityDecision = { access: 'allowed', identity: defaultIdentity };

/** Whether a token with this fingerprint is one of the identity that applies. Never for a denied or unresolved host. */
export function isOfIdentity(fingerprint: string | undefined, decision: IdentityDecision): boolean {
  return decision.access === 'allowed' && decision.identity.fingerprint === fingerprint;
}

/** The path of the rule that denies the tokens; undefined: none does. */
export function getDenyingRule(decision: IdentityDecision): string | undefined {
  return decision.access === 'denied' ? decision.rule : undefined;
}

/**
 * Separates the registries whose tokens a namespace may get from those that rules deny to it.
 * @param findDenyingRule returns the path of the rule that denies a registry; undefined: none does
 */
export function splitDenied(
  registries: readonly Registry[],
  findDenyingRule: (registry: Registry) => string | undefined,
): { readonly allowed: readonly Registry[]; readonly denied: readonly DeniedHost[] } {
  const allowed: Registry[] = [];
  const denied: DeniedHost[] = [];
  for (const registry of registries) {
    const rule = findDenyingRule(registry);
    if (rule === undefined) {
      allowed.push(registry);
    } else {
      denied.push({ host: registry.host, rule });
    }
  }
  return { allowed, denied };
}

/** Returns a key for an identity and an endpoint of ECR. Accounts share endpoints. */
export function getEndpointKey({ key }: Pick<Identity, 'key'>, registry: Registry): string {
  return JSON.stringify([key, getEndpointId(registry)]);
}
