// Resolves the provisioning settings from the configuration and the command line.
import { explainUnknownHost } from '../config/host-contradictions.ts';
import { ConfigError } from '../config/load-config.ts';
import type { Problem } from '../config/problems.ts';
import type { Config } from '../config/schema.ts';
import { createRegistryResolver, isInAccounts, type Registry, resolveRegistries } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';

/** Which registries to provision, and where. */
export interface ProvisioningSettings {
  /** The Secret's name in every namespace. */
  readonly secretName: string;
  /** Registries that each Secret holds; empty: provisioning is disabled. */
  readonly registries: readonly Registry[];
  /** Names and patterns of namespaces; empty: all. */
  readonly namespaces: readonly string[];
  /** Label selector for namespaces in the syntax of kubectl; empty: all. The API server evaluates it. */
  readonly labelSelector: string;
  /** Patterns of namespaces that are skipped. */
  readonly excludedNamespaces: readonly string[];
  /** Patterns of namespaces that are selected only if `namespaces` contains their exact name. */
  readonly explicitOnlyNamespaces: readonly string[];
  /** Names and patterns of ServiceAccounts. */
  readonly serviceAccounts: readonly string[];
}

/** Settings from the command line, which replace those of the configuration. An empty list replaces nothing. */
export interface SettingOverrides {
  readonly registries: readonly string[];
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
}

const noOverrides: SettingOverrides = { registries: [], namespaces: [], serviceAccounts: [] };

/** Merges the settings of the configuration and the command line. */
export function resolveSettings(
  config: Config,
  overrides: SettingOverrides = noOverrides,
): ProvisioningSettings {
  const { provisioning, exclude, secretName } = config;
  const resolveRegistry = createRegistryResolver(config);
  const hasNamespaceOverrides = overrides.namespaces.length > 0;
  return {
    secretName,
    registries:
      overrides.registries.length > 0
        ? resolveRegistries(new Set(overrides.registries), resolveRegistry)
        : resolveRegistries(new Set(provisioning.registries), resolveRegistry),
    namespaces: hasNamespaceOverrides ? overrides.namespaces : provisioning.namespaces.names,
    labelSelector: hasNamespaceOverrides ? '' : provisioning.namespaces.selector,
    excludedNamespaces: exclude.namespaces,
    explicitOnlyNamespaces: exclude.admissionNamespaces,
    serviceAccounts:
      overrides.serviceAccounts.length > 0 ? overrides.serviceAccounts : provisioning.serviceAccounts,
  };
}

/**
 * Resolves the settings of `sync`, and checks that there is a registry and that the flags do not contradict the configuration.
 * @param source where the configuration was read from, for the error message
 * @throws {ConfigError} if there is no registry, if a flag names a host that is not one, or if the configuration excludes what a flag names
 */
export function resolveSyncSettings(
  config: Config,
  overrides: SettingOverrides,
  source: string,
): ProvisioningSettings {
  const unknown = overrides.registries.flatMap((host) => explainUnknownFlag('--registry', host, config));
  if (unknown.length > 0) {
    throw new ConfigError(source, unknown);
  }
  const settings = resolveSettings(config, overrides);
  if (settings.registries.length === 0) {
    const text = 'is empty and --registry is not given; name at least one ECR host';
    throw new ConfigError(source, [{ path: 'provisioning.registries', text }]);
  }
  const problems = [
    ...overrides.namespaces
      .filter((name) => matchesAny(settings.excludedNamespaces, name))
      .map((name) => ({ path: 'exclude.namespaces', text: `excludes ${name}, which --namespace names` })),
    ...resolveRegistries(new Set(overrides.registries), createRegistryResolver(config))
      .filter((registry) => isInAccounts(registry, config.exclude.accounts))
      .map(({ host }) => ({ path: 'exclude.accounts', text: `excludes ${host}, which --registry names` })),
  ];
  if (problems.length > 0) {
    throw new ConfigError(source, problems);
  }
  return settings;
}

function explainUnknownFlag(flag: string, host: string, config: Config): Problem[] {
  const reason = explainUnknownHost(host, config);
  return reason === undefined ? [] : [{ path: flag, text: `names ${host}, which ${reason}` }];
}

/** Returns the paths of provisioning settings that have no effect in `serve`, because no registry is configured. */
export function findUnusedSettings({ provisioning: { registries, namespaces } }: Config): string[] {
  const isSetByPath = {
    'provisioning.namespaces.names': namespaces.names.length > 0,
    'provisioning.namespaces.selector': namespaces.selector !== '',
  };
  return registries.length > 0
    ? []
    : Object.entries(isSetByPath).flatMap(([path, isSet]) => (isSet ? [path] : []));
}

/** Whether a name contains a wildcard, so that the objects have to be listed to find matches. */
export function isPattern(name: string): boolean {
  return name.includes('*');
}
