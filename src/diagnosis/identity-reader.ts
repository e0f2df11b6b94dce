// Reads what decides which AWS identity fetches the tokens of each namespace, as far as the caller may.
import type { Config } from '../config/schema.ts';
import { defaultDecision, type HostIdentityResolver, type IdentityResolver } from '../ecr/identity.ts';
import { roleAnnotations } from '../ecr/identity-facts.ts';
import { IdentityFactsCache } from '../ecr/identity-facts-cache.ts';
import { createIdentityResolver, findNeededFacts } from '../ecr/identity-rules.ts';
import type { RegistryResolver } from '../ecr/registry.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { listServiceAccountAnnotations } from '../kube/service-account-annotations.ts';
import { type Gap, readOptional } from './read-gaps.ts';

/**
 * Reads the facts that the rules of a configuration need, and nothing if they need none. Where the caller may not read them, the
 * identities that depend on them stay unresolved.
 * @param gaps receives what could not be read
 */
export async function readIdentities(
  { registries: rules }: Pick<Config, 'registries'>,
  cluster: ClusterConfig,
  gaps: Gap[],
  signal: AbortSignal,
): Promise<IdentityResolver> {
  const needed = findNeededFacts(rules);
  const facts = new IdentityFactsCache(Date.now);
  const readLabels = async () => {
    if (needed.labelKeys.length > 0) {
      const selection = { selector: '', labelKeys: new Set(needed.labelKeys) };
      facts.replaceNamespaces(await listNamespaces(cluster, selection, signal));
    }
  };
  const readRoles = async (name: string) => {
    const keys = new Set<string>(roleAnnotations);
    const accounts = await listServiceAccountAnnotations(cluster, name, keys, signal);
    facts.replaceServiceAccounts(name, accounts);
  };
  await Promise.all([
    readOptional('list namespaces', gaps, readLabels),
    ...needed.serviceAccounts.map((name) =>
      readOptional('list serviceaccounts', gaps, () => readRoles(name)),
    ),
  ]);
  return createIdentityResolver(rules, facts);
}

/** The same decisions by host. The program's own identity is assumed for a host that is no registry. */
export function createHostIdentities(
  resolve: IdentityResolver,
  resolveRegistry: RegistryResolver,
): HostIdentityResolver {
  return (namespace, host) => {
    const registry = resolveRegistry(host);
    return registry === undefined ? defaultDecision : resolve(namespace, registry);
  };
}
