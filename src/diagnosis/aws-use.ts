// Reads which registries are in use and which identities fetch their tokens, as far as the caller may.
import {
  createRegistryResolver,
  listMappedRegistries,
  type RegistryResolver,
  resolveRegistries,
} from '../ecr/registry.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { type SecretMetadata, visitSecretMetadata } from '../kube/secret-metadata.ts';
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
  const resolveRegistry = createRegistryResolver(config);
  const stored = new StoredUses(resolveRegistry);
  const [namespaces, resolveIdentity] = await Promise.all([
    // Only examples: without them, rules that nothing uses are not tested.
    config.registries.length === 0
      ? undefined
      : readOptional('list namespaces', [], () => listNamespaces(cluster, { selector: '' }, signal)),
    readIdentities(config, cluster, gaps, signal),
    readOptional('list secrets', gaps, () =>
      visitSecretMetadata(
        cluster,
        config.secretName,
        {},
        { onSecret: (secret) => stored.add(secret) },
        signal,
      ),
    ),
  ]);
  const configured = [
    ...resolveRegistries(config.provisioning.registries, resolveRegistry),
    ...listMappedRegistries(config),
  ];
  const names = (namespaces ?? []).filter(({ isTerminating }) => !isTerminating).map(({ name }) => name);
  const [example = 'default'] = config.provisioning.namespaces.names.filter((name) => !name.includes('*'));
  const targets = selectAwsTargets({
    rules: config.registries,
    uses: [
      ...stored.withToken(),
      ...configured.map((registry) => ({ namespace: example, registry })),
      ...stored.waiting(),
    ],
    namespaces: names,
    resolveIdentity,
    resolveRegistry,
  });
  return { targets, gaps };
}

/**
 * The hosts in the annotations of managed Secrets. Only the first endpoints are examined, and a tenant can make up any number of
 * hosts in its namespaces, so those that most namespaces use come first.
 */
class StoredUses {
  readonly #resolveRegistry: RegistryResolver;
  readonly #withToken: RegistryUse[] = [];
  readonly #waiting: RegistryUse[] = [];
  readonly #namespaceCounts = new Map<string, number>();

  constructor(resolveRegistry: RegistryResolver) {
    this.#resolveRegistry = resolveRegistry;
  }

  add(secret: SecretMetadata): void {
    if (!ownsSecret(secret) || this.#withToken.length + this.#waiting.length >= maxUses) {
      return;
    }
    const { namespace, annotations } = secret;
    const { hosts } = parseAnnotation(annotations[hostsAnnotation], this.#resolveRegistry);
    for (const [host, lifetime] of hosts) {
      const registry = this.#resolveRegistry(host);
      if (registry !== undefined) {
        (lifetime === undefined ? this.#waiting : this.#withToken).push({ namespace, registry });
        this.#namespaceCounts.set(host, (this.#namespaceCounts.get(host) ?? 0) + 1);
      }
    }
  }

  withToken(): RegistryUse[] {
    return this.#sort(this.#withToken);
  }

  waiting(): RegistryUse[] {
    return this.#sort(this.#waiting);
  }

  #sort(uses: readonly RegistryUse[]): RegistryUse[] {
    const countOf = ({ registry }: RegistryUse) => this.#namespaceCounts.get(registry.host) ?? 0;
    return uses.toSorted((a, b) => countOf(b) - countOf(a));
  }
}
