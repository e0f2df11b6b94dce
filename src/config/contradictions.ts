// Settings that are valid one by one, but of which one makes another ineffective.

import { parseEcrHosts } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';
import type { Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** Every setting that cannot have an effect because of another one. Each problem names both. */
export function findContradictions(config: Config): Problem[] {
  return [...findExcludedNames(config), ...findExcludedRegistries(config), ...findUnusedRules(config)];
}

/**
 * `*` in a name is matched as an ordinary character. Only a `*` of the other pattern can match it, so a match means that
 * every namespace of the name's pattern is excluded.
 */
function findExcludedNames({ exclude, provisioning }: Config): Problem[] {
  return provisioning.namespaces.names.flatMap((name, index) => {
    const path = `provisioning.namespaces.names[${index}]`;
    if (matchesAny(exclude.namespaces, name)) {
      return [{ path, text: `is ${name}, which exclude.namespaces excludes: remove it from one of the two` }];
    }
    if (name.includes('*') && matchesAny(exclude.admissionNamespaces, name)) {
      const text = `is ${name}, which exclude.admissionNamespaces excludes: give the namespaces without *`;
      return [{ path, text }];
    }
    return [];
  });
}

function findExcludedRegistries({ exclude, provisioning }: Config): Problem[] {
  return provisioning.registries.flatMap((host, index) => {
    const [registry] = parseEcrHosts([host]);
    return registry !== undefined && matchesAny(exclude.accounts, registry.account)
      ? [
          {
            path: `provisioning.registries[${index}]`,
            text: `is of account ${registry.account}, which exclude.accounts excludes: remove it from one of the two`,
          },
        ]
      : [];
  });
}

/** The first rule that matches a registry counts, so a rule after one that matches at least as much is never used. */
function findUnusedRules({ registries }: Config): Problem[] {
  return registries.flatMap((rule, index) => {
    const empty = (['accounts', 'regions'] as const).find((key) => rule[key]?.length === 0);
    if (empty !== undefined) {
      const text = 'is empty, so that the rule matches no registry: leave it out to match all';
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

/** Whether one list of patterns matches all that another matches; undefined matches everything. */
function coversAll(wide: readonly string[] | undefined, narrow: readonly string[] | undefined): boolean {
  return wide === undefined || (narrow?.every((pattern) => matchesAny(wide, pattern)) ?? false);
}
