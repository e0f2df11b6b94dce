// Chooses an image for the dry run that the program does not skip. Pure.
import type { Config } from '../config/schema.ts';
import { createRegistryResolver, isInAccounts, type Registry, resolveRegistries } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';

/** Accounts of made-up registries. A dry run calls no registry. */
const madeUpAccounts = ['123456789012', '111111111111', '987654321098'];

/** @returns undefined if the configuration excludes all registries that are tried, or denies them to the namespace */
export function chooseImage(config: Config, namespace: string): string | undefined {
  const hosts = [
    ...config.provisioning.registries,
    ...Object.keys(config.hosts),
    ...madeUpAccounts.map((account) => `${account}.dkr.ecr.eu-central-1.amazonaws.com`),
  ];
  const registry = resolveRegistries(new Set(hosts), createRegistryResolver(config)).find(
    (one) => !isInAccounts(one, config.exclude.accounts) && !mayBeDenied(one, namespace, config),
  );
  return registry === undefined ? undefined : `${registry.host}/ecr-pull-secrets-doctor:dry-run`;
}

/** Whether a rule may deny the registry to the namespace. Its labels are not known. */
function mayBeDenied(registry: Registry, namespace: string, { registries }: Config): boolean {
  return registries.some(
    ({ access, accounts, namespaces }) =>
      access === 'deny' &&
      (namespaces?.names === undefined || matchesAny(namespaces.names, namespace)) &&
      (accounts === undefined || (registry.kind === 'private' && matchesAny(accounts, registry.account))),
  );
}
