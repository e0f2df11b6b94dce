// Reads which registries are in use and which identities fetch their tokens, as far as the caller may.
import { createRegistryResolver, listMappedRegistries, resolveRegistries } from '../ecr/registry.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { listSecretMetadata, type SecretMetadata } from '../kube/secret-metadata.ts';
import { hostsAnnotation } from '../labels.ts';
import { parseAnnotation } from '../pull-secrets/hosts-annotation.ts';
import { ownsSecret } from '../pull-secrets/ownership.ts';
import { type AwsTargets, type RegistryUse, selectAwsTargets } from './aws-targets.ts';
import { readIdentities } from './identity-reader.ts';
import type { Installation } from './installation.ts';
import { type Gap, readOptional } from './read-gaps.ts';

/** Uses that are examined at most, so that Secrets with made-up hosts do not take long. */
const maxUses = 50_000;

/** @returns what to call, and what could not be read */
export async function readAwsTargets(
  { config, cluster }: Installation,
  signal: AbortSignal,
): Promise<{ readonly targets: AwsTargets; readonly gaps: readonly Gap[] }> {
  const gaps: Gap[] = [];
  const [secrets, namespaces, resolveIdentity] = await Promise.all([
    readOptional('list secrets', gaps, () => listSecretMetadata(cluster, config.secretName, signal)),
    // Only examples: without them, rules that nothing uses are not tested.
    config.registries.length === 0
      ? undefined
      : readOptional('list namespaces', [], () => listNamespaces(cluster, { selector: '' }, signal)),
    readIdentities(config, cluster, gaps, signal),
  ]);
  const resolveRegistry = createRegistryResolver(config);
  const configured = [
    ...resolveRegistries(config.provisioning.registries, resolveRegistry),
    ...listMappedRegistries(config),
  ];
  const stored = listStoredUses(secrets?.items ?? [], resolveRegistry);
  const names = (namespaces ?? []).filter(({ isTerminating }) => !isTerminating).map(({ name }) => name);
  const [example = 'default'] = config.provisioning.namespaces.names.filter((name) => !name.includes('*'));
  const targets = selectAwsTargets({
    rules: config.registries,
    uses: [
      ...stored.withToken,
      ...configured.map((registry) => ({ namespace: example, registry })),
      ...stored.waiting,
    ],
    namespaces: names,
    resolveIdentity,
    resolveRegistry,
  });
  return { targets, gaps };
}

interface StoredUses {
  readonly withToken: readonly RegistryUse[];
  readonly waiting: readonly RegistryUse[];
}

/**
 * The hosts in the annotations of managed Secrets. Only the first endpoints are examined, and a tenant can make up any number of
 * hosts in its namespaces, so those that most namespaces use come first.
 */
function listStoredUses(
  secrets: readonly SecretMetadata[],
  resolveRegistry: ReturnType<typeof createRegistryResolver>,
): StoredUses {
  const withToken: RegistryUse[] = [];
  const waiting: RegistryUse[] = [];
  const namespaceCounts = new Map<string, number>();
  for (const secret of secrets) {
    if (withToken.length + waiting.length >= maxUses) {
      break;
    }
    const { hosts } = ownsSecret(secret)
      ? parseAnnotation(secret.annotations[hostsAnnotation], resolveRegistry)
      : { hosts: new Map<string, undefined>() };
    for (const [host, lifetime] of hosts) {
      const registry = resolveRegistry(host);
      if (registry !== undefined) {
        (lifetime === undefined ? waiting : withToken).push({ namespace: secret.namespace, registry });
        namespaceCounts.set(host, (namespaceCounts.get(host) ?? 0) + 1);
      }
    }
  }
  const countOf = ({ registry }: RegistryUse) => namespaceCounts.get(registry.host) ?? 0;
  const sort = (uses: readonly RegistryUse[]) => uses.toSorted((a, b) => countOf(b) - countOf(a));
  return { withToken: sort(withToken), waiting: sort(waiting) };
}
