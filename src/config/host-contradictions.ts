// Finds hosts in the configuration that contradict their own names or other settings.
import { parsePrivateHost, parsePublicHost } from '../ecr/ecr-host.ts';
import {
  createRegistryResolver,
  type HostMapping,
  isInAccounts,
  listMappedRegistries,
} from '../ecr/registry.ts';
import { joinPath, type Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** Returns a problem for each key of `hosts` that has no effect, and for each host to provision that is not a registry. */
export function findHostContradictions(config: Config): Problem[] {
  return [...findUnusableMappings(config), ...findUnknownRegistries(config)];
}

function findUnusableMappings(config: Config): Problem[] {
  const excluded = new Set(
    listMappedRegistries(config)
      .filter((registry) => isInAccounts(registry, config.exclude.accounts))
      .map(({ host }) => host),
  );
  return Object.entries(config.hosts).flatMap(([host, mapping]) => {
    const text =
      findNameConflict(host, mapping) ??
      (excluded.has(host)
        ? `is in account ${mapping.account}, which exclude.accounts excludes; remove it from one of them`
        : undefined);
    return text === undefined ? [] : [{ path: joinPath('hosts', host), text }];
  });
}

/** The name of an ECR host says its account and region, so only its endpoint can be configured. */
function findNameConflict(host: string, { account, region, endpoint }: HostMapping): string | undefined {
  if (parsePublicHost(host) !== undefined) {
    return 'is the public registry, which belongs to no account; set publicRegistry: true instead';
  }
  const named = parsePrivateHost(host);
  if (named === undefined) {
    return undefined;
  }
  if (named.account !== account || named.region !== region) {
    return `has account ${account} and region ${region}, but the name says ${named.account} and ${named.region}`;
  }
  return endpoint === undefined
    ? 'has no effect without endpoint, because the name of an ECR host says its account and region; remove it'
    : undefined;
}

function findUnknownRegistries(config: Config): Problem[] {
  return config.provisioning.registries.flatMap((host, index) => {
    const reason = explainUnknownHost(host, config);
    return reason === undefined
      ? []
      : [{ path: `provisioning.registries[${index}]`, text: `is ${host}, which ${reason}` }];
  });
}

/** Returns why a host is not a registry, as the rest of a sentence about it; undefined if it is one. */
export function explainUnknownHost(
  host: string,
  settings: Pick<Config, 'hosts' | 'publicRegistry'>,
): string | undefined {
  if (createRegistryResolver(settings)(host) !== undefined) {
    return undefined;
  }
  return parsePublicHost(host) === undefined
    ? 'is neither an ECR host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com nor a key of hosts'
    : 'is the public registry; it needs publicRegistry: true';
}
