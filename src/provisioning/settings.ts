import { ConfigError } from '../config/read.ts';
import type { Config } from '../config/schema.ts';
import { matchesAny } from '../images/glob.ts';
import { type Registry, registriesOf } from '../images/registry.ts';

/** What is to be provided, and where. */
export interface Settings {
  /** The Secret's name in every namespace. */
  readonly secretName: string;
  /** What each Secret is to hold; none: the mode is off. */
  readonly registries: readonly Registry[];
  /** Names and patterns of namespaces; none: all. */
  readonly namespaces: readonly string[];
  /** Of labels of namespaces, as kubectl takes it; empty: all. The API server judges by it. */
  readonly selector: string;
  /** Namespaces that are left alone, as patterns. */
  readonly excluded: readonly string[];
  /** Names and patterns of ServiceAccounts. */
  readonly serviceAccounts: readonly string[];
}

/** What a command line gives in place of the configuration; an empty list gives nothing. */
export interface Given {
  readonly registries: readonly string[];
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
}

const nothing: Given = { registries: [], namespaces: [], serviceAccounts: [] };

/** The settings of a configuration, in which what was given on the command line wins. */
export function settingsOf(config: Config, given: Given = nothing): Settings {
  const { provisioning, exclude, secretName } = config;
  const configured = registriesOf(new Set(provisioning.registries)).filter(
    ({ account }) => !matchesAny(exclude.accounts, account),
  );
  const named = given.namespaces.length > 0;
  return {
    secretName,
    registries: given.registries.length > 0 ? registriesOf(new Set(given.registries)) : configured,
    namespaces: named ? given.namespaces : provisioning.namespaces.names,
    selector: named ? '' : provisioning.namespaces.selector,
    excluded: exclude.namespaces,
    serviceAccounts: given.serviceAccounts.length > 0 ? given.serviceAccounts : provisioning.serviceAccounts,
  };
}

/**
 * The settings of a sync, which has nothing to do without a registry.
 * @param source what the configuration was read from, for the message
 * @throws ConfigError
 */
export function syncSettingsOf(config: Config, given: Given, source: string): Settings {
  const settings = settingsOf(config, given);
  if (settings.registries.length === 0) {
    const text = 'names no registry, and neither does --registry: at least one ECR host is needed';
    throw new ConfigError(source, [{ path: 'provisioning.registries', text }]);
  }
  return settings;
}

/** Whether a name is a pattern: it can be found in a list only. */
export function isPattern(name: string): boolean {
  return name.includes('*');
}
