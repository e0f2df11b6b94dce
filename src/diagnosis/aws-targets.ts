// Selects which calls of AWS show whether the program gets the tokens that are in use. Pure.
import type { Identity, IdentityResolver, UnresolvedIdentity } from '../ecr/identity.ts';
import type { IdentityRule } from '../ecr/identity-rules.ts';
import { getPartition } from '../ecr/partitions.ts';
import { getEndpointId, type Registry, type RegistryResolver } from '../ecr/registry.ts';

/** A namespace that uses a registry. */
export interface RegistryUse {
  readonly namespace: string;
  readonly registry: Registry;
}

/** The identity that fetches tokens of a registry, for example for this namespace. */
export interface AwsTarget extends RegistryUse {
  readonly identity: Identity;
}

export interface AwsTargets {
  /** One for each endpoint, at most {@link maxTargets}. */
  readonly endpoints: readonly AwsTarget[];
  /** Number of further endpoints. */
  readonly moreEndpoints: number;
  /** One for each rule that names an identity, at most {@link maxTargets}. */
  readonly rules: readonly AwsTarget[];
  /** Paths of rules that name an identity and for which no example was found. */
  readonly untestedRules: readonly string[];
  /** Namespaces for which something prevents an identity from being known: one for each rule and cause. */
  readonly unresolved: readonly (RegistryUse & { readonly decision: UnresolvedIdentity })[];
}

/** Endpoints, and rules, that are examined at most. Each needs a call of AWS. */
const maxTargets = 20;

export interface TargetSources {
  readonly rules: readonly IdentityRule[];
  /** What the pull Secrets hold and the configuration names. */
  readonly uses: Iterable<RegistryUse>;
  /** Namespaces that may serve as examples. */
  readonly namespaces: readonly string[];
  readonly resolveIdentity: IdentityResolver;
  readonly resolveRegistry: RegistryResolver;
}

/** Selects examples: of everything in use first, then of rules that nothing in use needs. */
export function selectAwsTargets(sources: TargetSources): AwsTargets {
  const endpoints = new Map<string, AwsTarget>();
  const rules = new Map<string, AwsTarget>();
  const unresolved = new Map<string, AwsTargets['unresolved'][number]>();
  for (const use of sources.uses) {
    const decision = sources.resolveIdentity(use.namespace, use.registry);
    if (decision.access === 'unresolved') {
      const key = `${decision.rule} ${decision.code}`;
      unresolved.set(key, unresolved.get(key) ?? { ...use, decision });
    } else if (decision.access === 'allowed') {
      addTarget({ ...use, identity: decision.identity }, endpoints, rules);
    }
  }
  const sample = [...endpoints.values()][0]?.registry;
  const untestedRules: string[] = [];
  for (const [index, rule] of sources.rules.entries()) {
    const path = `registries[${index}]`;
    if (!namesIdentity(rule) || rules.has(path)) {
      continue;
    }
    const target = findExample(rule, path, sample, sources);
    if (target === undefined) {
      untestedRules.push(path);
    } else {
      rules.set(path, target);
    }
  }
  const all = [...endpoints.values()];
  return {
    endpoints: all.slice(0, maxTargets),
    moreEndpoints: Math.max(0, all.length - maxTargets),
    rules: [...rules.values()].slice(0, maxTargets),
    untestedRules: [...untestedRules, ...[...rules.keys()].slice(maxTargets)],
    unresolved: [...unresolved.values()].slice(0, maxTargets),
  };
}

function addTarget(
  target: AwsTarget,
  endpoints: Map<string, AwsTarget>,
  rules: Map<string, AwsTarget>,
): void {
  const endpoint = getEndpointId(target.registry);
  const { rule } = target.identity;
  if (!endpoints.has(endpoint)) {
    endpoints.set(endpoint, target);
  }
  if (rule !== undefined && !rules.has(rule)) {
    rules.set(rule, target);
  }
}

function namesIdentity({ access, roleArn, webIdentity, credentials }: IdentityRule): boolean {
  return access !== 'deny' && (roleArn ?? webIdentity ?? credentials) !== undefined;
}

/** A namespace and a registry to which a rule applies; undefined if none is known, or another rule with its identity comes first. */
function findExample(
  rule: IdentityRule,
  path: string,
  sample: Registry | undefined,
  { namespaces, resolveIdentity, resolveRegistry }: TargetSources,
): AwsTarget | undefined {
  const isName = (text: string) => !text.includes('*');
  const region = rule.regions?.find(isName) ?? sample?.region ?? 'us-east-1';
  const account =
    rule.accounts?.find(isName) ?? (sample?.kind === 'private' ? sample.account : '123456789012');
  const registry = resolveRegistry(toHost(account, region));
  if (registry === undefined) {
    return undefined;
  }
  const named = rule.namespaces?.names?.filter(isName) ?? [];
  for (const namespace of [...named, ...namespaces]) {
    const decision = resolveIdentity(namespace, registry);
    if (decision.access === 'allowed' && decision.identity.rule === path) {
      return { namespace, registry, identity: decision.identity };
    }
  }
  return undefined;
}

/** The host of a private registry. */
export function toHost(account: string, region: string): string {
  return `${account}.dkr.ecr.${region}.${getPartition(region).suffix}`;
}
