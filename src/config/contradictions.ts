// Finds settings that are valid alone but have no effect because of another setting.
import { createRegistryResolver, isInAccounts } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';
import { findHostContradictions } from './host-contradictions.ts';
import type { Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** Returns a problem for each setting that has no effect because of another one. Each problem names both settings. */
export function findContradictions(config: Config): Problem[] {
  return [
    ...findExcludedNames(config),
    ...findHostContradictions(config),
    ...findExcludedRegistries(config),
    ...findUnusedRules(config),
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

/** The first matching rule applies, so a rule is never used if an earlier one matches all of its registries. */
function findUnusedRules({ registries }: Config): Problem[] {
  return registries.flatMap((rule, index) => {
    const empty = (['accounts', 'regions'] as const).find((key) => rule[key]?.length === 0);
    if (empty !== undefined) {
      const text = 'is empty, so the rule matches no registry; omit it to match all';
      return [{ path: `registries[${index}].${empty}`, text }];
    }
    const wider = registries
      .slice(0, index)
      .findIndex(
        (earlier) => coversAll(earlier.accounts, rule.accounts) && coversAll(earlier.regions, rule.regions),
      );
    return wider === -1
      ? []
      : [
          {
            path: `registries[${index}]`,
            text: `is never used, because registries[${wider}] matches the same registries and comes first`,
          },
        ];
  });
}

/** Whether one list of patterns matches everything that another one matches; undefined matches everything. */
function coversAll(wide: readonly string[] | undefined, narrow: readonly string[] | undefined): boolean {
  return wide === undefined || (narrow?.every((pattern) => matchesAny(wide, pattern)) ?? false);
}

function findUnusedEviction({ catchUp }: Config): Problem[] {
  return catchUp.evict && !catchUp.enabled
    ? [{ path: 'catchUp.evict', text: 'has no effect, because catchUp.enabled is false' }]
    : [];
}
