// Recognizes registries by the host that an image names.
import { matchesAny } from '../util/glob.ts';
import { type PrivateHost, parsePrivateHost, parsePublicHost } from './ecr-host.ts';
import { maxHostLength } from './host-name.ts';
import { getPartition } from './partitions.ts';

/** A registry that this program fetches tokens for, as an image names it. */
export type Registry = PrivateRegistry | PublicRegistry;

/** A private Amazon ECR registry. */
interface PrivateRegistry extends PrivateHost {
  readonly kind: 'private';
  /** Host with its port, as the image names it: the key of the `auths` entry. */
  readonly host: string;
  /** URL of the ECR API that issues the tokens, from the configuration; undefined: the one that the AWS SDK selects. */
  readonly endpoint?: string;
}

/** The registry of Amazon ECR Public. It belongs to no account, and its API is in one region only. */
interface PublicRegistry extends Omit<PrivateHost, 'account'> {
  readonly kind: 'public';
  /** See {@link PrivateRegistry}. */
  readonly host: string;
  readonly endpoint?: never;
}

/** The registry that a host name of the operator stands for. */
export interface HostMapping {
  readonly account: string;
  readonly region: string;
  /** URL of the ECR API; undefined: the one of the region. */
  readonly endpoint?: string | undefined;
}

/** The settings that decide which hosts are registries. */
export interface RegistrySettings {
  /** Registries by host or `HOST:PORT`, in addition to the host names of ECR. */
  readonly hosts?: Readonly<Record<string, HostMapping>>;
  /** Whether the public registry is one. */
  readonly publicRegistry?: boolean;
}

/** The only region whose API issues tokens of the public registry that are valid for pulls (API reference of ECR Public). */
export const publicRegion = 'us-east-1';

/**
 * Recognizes a registry by the host that an image names, `HOST` or `HOST:PORT`.
 * Returns undefined for every other host. Never throws, and takes time linear in the length of the host.
 */
export type RegistryResolver = (host: string) => Registry | undefined;

/**
 * Creates the resolver of a configuration. It recognizes the configured hosts, the host names of private ECR registries, and
 * those of the public registry if it is enabled.
 */
export function createRegistryResolver(settings: RegistrySettings): RegistryResolver {
  const mapped = new Map(listMappedRegistries(settings).map((registry) => [registry.host, registry]));
  const resolvePublic = settings.publicRegistry === true ? resolvePublicRegistry : () => undefined;
  return (host) => mapped.get(host) ?? resolvePrivateRegistry(host) ?? resolvePublic(host);
}

/** The registries of the configured hosts. */
export function listMappedRegistries({ hosts = {} }: RegistrySettings): Registry[] {
  return Object.entries(hosts).map(([host, { account, region, endpoint }]) => ({
    kind: 'private',
    host,
    account,
    region,
    partition: getPartition(region).id,
    fips: false,
    dualStack: false,
    ...parsePrivateHost(host),
    ...(endpoint !== undefined && { endpoint: new URL(endpoint).href }),
  }));
}

function resolvePrivateRegistry(host: string): Registry | undefined {
  const parsed = parsePrivateHost(host);
  return parsed && { kind: 'private', host, ...parsed };
}

function resolvePublicRegistry(host: string): Registry | undefined {
  const parsed = parsePublicHost(host);
  return (
    parsed && {
      ...{ kind: 'public', host, region: publicRegion, partition: getPartition(publicRegion).id },
      ...{ fips: false, dualStack: parsed.dualStack },
    }
  );
}

/** The registries among hosts, in the same order. Hosts that are not recognized are left out. */
export function resolveRegistries(hosts: Iterable<string>, resolveRegistry: RegistryResolver): Registry[] {
  return [...hosts].flatMap((host) => resolveRegistry(host) ?? []);
}

/**
 * Whether a registry belongs to one of some accounts, in which `*` matches any digits. The public registry belongs to no
 * account.
 */
export function isInAccounts(registry: Registry, accounts: readonly string[]): boolean {
  return registry.kind === 'private' && matchesAny(accounts, registry.account);
}

/**
 * Identifies the service that issues the tokens of a registry: ECR in a region, ECR Public, or a configured endpoint together
 * with the region for which requests to it are signed. Each has its own rate limit.
 */
export function getServiceKey({ kind, region, endpoint }: Registry): string {
  return [kind, region, ...(endpoint === undefined ? [] : [endpoint])].join(' ');
}

/** Identifies the endpoint for GetAuthorizationToken. The registries of different accounts share endpoints. */
export function getEndpointId(registry: Registry): string {
  const { endpoint, fips, dualStack } = registry;
  const service = getServiceKey(registry);
  return endpoint === undefined ? `${service} ${fips} ${dualStack}` : service;
}

/**
 * Returns the host of an image reference: the part before the first slash (distribution/reference). Returns undefined
 * if there is no slash, nothing before or after it, or if the host is too long for a registry. The reference is
 * untrusted input.
 */
export function getImageHost(image: string): string | undefined {
  const slash = image.indexOf('/');
  return slash > 0 && slash <= maxHostLength && slash < image.length - 1 ? image.slice(0, slash) : undefined;
}
