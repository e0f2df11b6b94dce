import { ConfigError } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { type Registry, registriesOf } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';

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
  /** Namespaces that are skipped, as patterns. */
  readonly excluded: readonly string[];
  /** Namespaces, as patterns, that are selected only if `namespaces` has them without `*`. */
  readonly onlyByName: readonly string[];
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
  const named = given.namespaces.length > 0;
  return {
    secretName,
    registries:
      given.registries.length > 0
        ? registriesOf(new Set(given.registries))
        : registriesOf(new Set(provisioning.registries)),
    namespaces: named ? given.namespaces : provisioning.namespaces.names,
    selector: named ? '' : provisioning.namespaces.selector,
    excluded: exclude.namespaces,
    onlyByName: exclude.admissionNamespaces,
    serviceAccounts: given.serviceAccounts.length > 0 ? given.serviceAccounts : provisioning.serviceAccounts,
  };
}

/**
 * The settings of a sync, which has nothing to do without a registry, and which must not contradict the configuration.
 * @param source what the configuration was read from, for the message
 * @throws ConfigError
 */
export function syncSettingsOf(config: Config, given: Given, source: string): Settings {
  const settings = settingsOf(config, given);
  if (settings.registries.length === 0) {
    const text = 'names no registry, and neither does --registry: at least one ECR host is needed';
    throw new ConfigError(source, [{ path: 'provisioning.registries', text }]);
  }
  const contradicting = [
    ...given.namespaces
      .filter((name) => matchesAny(settings.excluded, name))
      .map((name) => ({ path: 'exclude.namespaces', text: `excludes ${name}, which --namespace names` })),
    ...registriesOf(new Set(given.registries))
      .filter(({ account }) => matchesAny(config.exclude.accounts, account))
      .map(({ host }) => ({ path: 'exclude.accounts', text: `excludes ${host}, which --registry names` })),
  ];
  if (contradicting.length > 0) {
    throw new ConfigError(source, contradicting);
  }
  return settings;
}

/** Settings of provisioning that were set, and have no effect in `serve` because no registry is named. */
export function unusedSettings({ provisioning: { registries, namespaces } }: Config): string[] {
  const set = {
    'provisioning.namespaces.names': namespaces.names.length > 0,
    'provisioning.namespaces.selector': namespaces.selector !== '',
  };
  return registries.length > 0 ? [] : Object.entries(set).flatMap(([path, isSet]) => (isSet ? [path] : []));
}

/** Whether a name is a pattern: it can be found in a list only. */
export function isPattern(name: string): boolean {
  return name.includes('*');
}
