import { matchesAny } from '../util/glob.ts';
import { hash32 } from '../util/hash.ts';
import { parseEcrHost, type Registry } from './registry.ts';

/** A role to assume, as STS's AssumeRole takes it. */
export interface Role {
  readonly roleArn: string;
  readonly externalId?: string | undefined;
  readonly sessionName?: string | undefined;
  /** An IAM policy as JSON text that narrows the role. */
  readonly sessionPolicy?: string | undefined;
}

/** Which registries are asked for by which role. In `accounts` and `regions`, `*` stands for any run of characters. */
export interface IdentityRule extends Role {
  /** Accounts that own the registries; not given: every account. */
  readonly accounts?: readonly string[] | undefined;
  /** Regions of the registries; not given: every region. */
  readonly regions?: readonly string[] | undefined;
}

/** Who asks ECR for tokens: the process's own AWS identity, or a role that it assumes. */
export interface Identity {
  /** Two identities with the same key are the same. Holds no external ID and no policy: it may be shown. */
  readonly key: string;
  readonly role?: Role;
}

const defaultIdentity: Identity = { key: 'default' };

/**
 * Compiles the rules. The first that matches a registry counts; where none does, the process asks as itself.
 * Rules with equal roles share one identity, and differing roles never do: the key numbers them.
 */
export function createIdentityResolver(rules: readonly IdentityRule[]): (registry: Registry) => Identity {
  const roles = rules.map(serializeRole);
  const compiled = rules.map((rule) => ({
    rule,
    identity: toIdentity(rule, roles.indexOf(serializeRole(rule))),
  }));
  return (registry) => compiled.find(({ rule }) => matchesRule(rule, registry))?.identity ?? defaultIdentity;
}

/**
 * Tells in a few characters, the same in every process and after every restart, which role asked for a token: its ARN,
 * external ID, session name and policy. Undefined for the process's own identity. Nothing can be read back from it.
 */
function getFingerprint({ role }: Identity): string | undefined {
  return role === undefined ? undefined : hash32(serializeRole(role)).toString(16).padStart(8, '0');
}

/** Gives the fingerprint of the role that asks for a host's tokens. */
export function createFingerprintResolver(
  rules: readonly IdentityRule[],
): (host: string) => string | undefined {
  const resolveIdentity = createIdentityResolver(rules);
  return (host) => {
    const registry = parseEcrHost(host);
    return registry === undefined ? undefined : getFingerprint(resolveIdentity(registry));
  };
}

function matchesRule({ accounts, regions }: IdentityRule, registry: Registry): boolean {
  return (
    (accounts === undefined || matchesAny(accounts, registry.account)) &&
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

/** Tells apart who asks which endpoint: identity, region, FIPS, dual-stack. */
export function getEndpointKey({ key }: Identity, { region, fips, dualStack }: Registry): string {
  return JSON.stringify([key, region, fips, dualStack]);
}
