// Finds settings that are valid alone but have no effect because of another setting.
import { createRegistryResolver, isInAccounts } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';
import { findHostContradictions } from './host-contradictions.ts';
import type { Problem } from './problems.ts';
import { findRuleContradictions } from './rule-contradictions.ts';
import type { Config } from './schema.ts';

/** Returns a problem for each setting that has no effect because of another one. Each problem names both settings. */
export function findContradictions(config: Config): Problem[] {
  return [
    ...findExcludedNames(config),
    ...findHostContradictions(config),
    ...findExcludedRegistries(config),
    ...findRuleContradictions(config),
    ...findUnusedEviction(config),
  ];
}

/**
 * A `*` in a name is compared like any other character, so only a `*` of the other pattern matches it. A match then means that
 * all namespaces of the name's pattern are excluded.
 */
function findExcludedNames({ exclude, provisioning }: Config): Problem[] {
  return provisioning.namespaces.names.flatMap((name, index) => {
    const path = `provisioning.namespaces.names[${index}]`;
    if (matchesAny(exclude.namespaces, name)) {
      return [{ path, text: `is ${name}, which exclude.namespaces excludes; remove it from one of them` }];
    }
    if (name.includes('*') && matchesAny(exclude.admissionNamespaces, name)) {
      const text = `is ${name}, which exclude.admissionNamespaces excludes; list the namespaces without *`;
      return [{ path, text }];
    }
    return [];
  });
}

function findExcludedRegistries(config: Config): Problem[] {
  const { exclude, provisioning } = config;
  const resolveRegistry = createRegistryResolver(config);
  return provisioning.registries.flatMap((host, index) => {
    const registry = resolveRegistry(host);
    return registry?.kind === 'private' && isInAccounts(registry, exclude.accounts)
      ? [
          {
            path: `provisioning.registries[${index}]`,
            text: `is in account ${registry.account}, which exclude.accounts excludes; remove it from one of them`,
          },
        ]
      : [];
  });
}

function findUnusedEviction({ catchUp }: Config): Problem[] {
  return catchUp.evict && !catchUp.enabled
    ? [{ path: 'catchUp.evict', text: 'has no effect, because catchUp.enabled is false' }]
    : [];
}
