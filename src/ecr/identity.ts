// Decides which AWS identity fetches the tokens of a registry for a namespace.
import { matchesAny } from '../util/glob.ts';
import { hash32 } from '../util/hash.ts';
import { getEndpointId, isInAccounts, type Registry, type RegistryResolver } from './registry.ts';

/** An IAM role to assume: parameters of AssumeRole. */
export interface Role {
  readonly roleArn: string;
  readonly externalId?: string | undefined;
  readonly sessionName?: string | undefined;
  /** An IAM policy as JSON text that restricts the session. */
  readonly sessionPolicy?: string | undefined;
}

/** Assigns a role to registries. In `accounts` and `regions`, `*` matches any characters. */
export interface IdentityRule extends Role {
  /** Accounts that own the registries; undefined: every account. */
  readonly accounts?: readonly string[] | undefined;
  /** Regions of the registries; undefined: every region. */
  readonly regions?: readonly string[] | undefined;
}

/** The caller of ECR: the process's own AWS identity, or a role that it assumes. */
export interface Identity {
  /** Unique for each identity. Contains neither external ID nor policy, so it may be logged. */
  readonly key: string;
  readonly role?: Role;
}

/** Returns the identity that fetches the tokens of a registry for a namespace. */
export type IdentityResolver = (namespace: string, registry: Registry) => Identity;

const defaultIdentity: Identity = { key: 'default' };

/**
 * Compiles the rules. The first rule that matches the registry decides; the namespace makes no difference yet. Without a
 * matching rule, it is the process's own identity. Rules with the same role, external ID, session name and policy share
 * an identity, and others never do, because the key contains the number of the rule.
 */
export function createIdentityResolver(rules: readonly IdentityRule[]): IdentityResolver {
  const roles = rules.map(serializeRole);
  const compiled = rules.map((rule) => ({
    rule,
    identity: toIdentity(rule, roles.indexOf(serializeRole(rule))),
  }));
  return (_namespace, registry) =>
    compiled.find(({ rule }) => matchesRule(rule, registry))?.identity ?? defaultIdentity;
}

/**
 * Computes a short hash of a role with its external ID, session name and policy. It is stored with each token, so it is
 * the same in every process, and reveals nothing of the role. Undefined for the process's own identity.
 */
function getFingerprint({ role }: Identity): string | undefined {
  return role === undefined ? undefined : hash32(serializeRole(role)).toString(16).padStart(8, '0');
}

/**
 * Returns the fingerprint of the role that fetches the tokens of a host for a namespace; undefined for the process's own
 * identity.
 */
export type FingerprintResolver = (namespace: string, host: string) => string | undefined;

export function createFingerprintResolver(
  rules: readonly IdentityRule[],
  resolveRegistry: RegistryResolver,
): FingerprintResolver {
  const resolveIdentity = createIdentityResolver(rules);
  const fingerprints = new WeakMap<Identity, string>();
  const getCachedFingerprint = (identity: Identity) => {
    const fingerprint = fingerprints.get(identity) ?? getFingerprint(identity);
    if (fingerprint !== undefined) {
      fingerprints.set(identity, fingerprint);
    }
    return fingerprint;
  };
  return (namespace, host) => {
    const registry = resolveRegistry(host);
    return registry === undefined ? undefined : getCachedFingerprint(resolveIdentity(namespace, registry));
  };
}

function matchesRule({ accounts, regions }: IdentityRule, registry: Registry): boolean {
  return (
    (accounts === undefined || isInAccounts(registry, accounts)) &&
    (regions === undefined || matchesAny(regions, registry.region))
  );
}

function toIdentity(rule: IdentityRule, index: number): Identity {
  const { roleArn, externalId, sessionName, sessionPolicy } = rule;
  return { key: `${roleArn}#${index}`, role: { roleArn, externalId, sessionName, sessionPolicy } };
}

function serializeRole({ roleArn, externalId, sessionName, sessionPolicy }: Role): string {
  return JSON.stringify([roleArn, externalId, sessionName, sessionPolicy].map((part) => part ?? null));
}

/** Returns a key for an identity and an endpoint of ECR. Accounts share endpoints. */
export function getEndpointKey({ key }: Identity, registry: Registry): string {
  return JSON.stringify([key, getEndpointId(registry)]);
}
