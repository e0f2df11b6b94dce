import { ConfigError } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { parseEcrHosts, type Registry } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';

/** What is to be provided, and where. */
export interface ProvisioningSettings {
  /** The Secret's name in every namespace. */
  readonly secretName: string;
  /** What each Secret is to hold; none: the mode is off. */
  readonly registries: readonly Registry[];
  /** Names and patterns of namespaces; none: all. */
  readonly namespaces: readonly string[];
  /** Of labels of namespaces, as kubectl takes it; empty: all. The API server judges by it. */
  readonly labelSelector: string;
  /** Namespaces that are skipped, as patterns. */
  readonly excludedNamespaces: readonly string[];
  /** Namespaces, as patterns, that are selected only if `namespaces` has them without `*`. */
  readonly explicitOnlyNamespaces: readonly string[];
  /** Names and patterns of ServiceAccounts. */
  readonly serviceAccounts: readonly string[];
}

/** What a command line gives in place of the configuration; an empty list gives nothing. */
export interface SettingOverrides {
  readonly registries: readonly string[];
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
}

const noOverrides: SettingOverrides = { registries: [], namespaces: [], serviceAccounts: [] };

/** The settings of a configuration, in which what was given on the command line wins. */
export function resolveSettings(
  config: Config,
  overrides: SettingOverrides = noOverrides,
): ProvisioningSettings {
  const { provisioning, exclude, secretName } = config;
  const hasNamespaceOverrides = overrides.namespaces.length > 0;
  return {
    secretName,
    registries:
      overrides.registries.length > 0
        ? parseEcrHosts(new Set(overrides.registries))
        : parseEcrHosts(new Set(provisioning.registries)),
    namespaces: hasNamespaceOverrides ? overrides.namespaces : provisioning.namespaces.names,
    labelSelector: hasNamespaceOverrides ? '' : provisioning.namespaces.selector,
    excludedNamespaces: exclude.namespaces,
    explicitOnlyNamespaces: exclude.admissionNamespaces,
    serviceAccounts:
      overrides.serviceAccounts.length > 0 ? overrides.serviceAccounts : provisioning.serviceAccounts,
  };
}

/**
 * The settings of a sync, which has nothing to do without a registry, and which must not contradict the configuration.
 * @param source what the configuration was read from, for the message
 * @throws ConfigError
 */
export function resolveSyncSettings(
  config: Config,
  overrides: SettingOverrides,
  source: string,
): ProvisioningSettings {
  const settings = resolveSettings(config, overrides);
  if (settings.registries.length === 0) {
    const text = 'names no registry, and neither does --registry: at least one ECR host is needed';
    throw new ConfigError(source, [{ path: 'provisioning.registries', text }]);
  }
  const problems = [
    ...overrides.namespaces
      .filter((name) => matchesAny(settings.excludedNamespaces, name))
      .map((name) => ({ path: 'exclude.namespaces', text: `excludes ${name}, which --namespace names` })),
    ...parseEcrHosts(new Set(overrides.registries))
      .filter(({ account }) => matchesAny(config.exclude.accounts, account))
      .map(({ host }) => ({ path: 'exclude.accounts', text: `excludes ${host}, which --registry names` })),
  ];
  if (problems.length > 0) {
    throw new ConfigError(source, problems);
  }
  return settings;
}

/** Settings of provisioning that were set, and have no effect in `serve` because no registry is named. */
export function findUnusedSettings({ provisioning: { registries, namespaces } }: Config): string[] {
  const isSetByPath = {
    'provisioning.namespaces.names': namespaces.names.length > 0,
    'provisioning.namespaces.selector': namespaces.selector !== '',
  };
  return registries.length > 0
    ? []
    : Object.entries(isSetByPath).flatMap(([path, isSet]) => (isSet ? [path] : []));
}

/** Whether a name is a pattern: it can be found in a list only. */
export function isPattern(name: string): boolean {
  return name.includes('*');
}
