// Recognizes registries by the host that an image names.
import { getPartition, type Partition } from './partitions.ts';

/** A registry that this program fetches tokens for, as an image names it. */
export type Registry = PrivateRegistry;

/** A private Amazon ECR registry. */
interface PrivateRegistry {
  readonly kind: 'private';
  /** Host with its port, as the image names it: the key of the `auths` entry. */
  readonly host: string;
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
  /** Id of the AWS partition, such as `aws` or `aws-cn`. */
  readonly partition: string;
  readonly fips: boolean;
  readonly dualStack: boolean;
}

/** No ECR host is longer. Longer hosts are rejected before they are matched. */
const maxHostLength = 128;

/** `ACCOUNT.dkr.ecr` or `ACCOUNT.dkr-ecr`, region, suffix and port. No two adjacent parts overlap, so it does not backtrack. */
const hostPattern =
  /^(?<account>\d{12})\.dkr(?<dash>[.-])ecr(?<fips>-fips)?\.(?<region>[a-z]{2,8}(?:-[a-z]{1,16}){1,3}-\d{1,2})\.(?<suffix>[a-z][a-z0-9.-]*)(?::(?<port>[1-9]\d{0,4}))?$/;

/**
 * Recognizes a registry by the host that an image names, `HOST` or `HOST:PORT`.
 * Returns undefined for every other host. Never throws, and takes time linear in the length of the host.
 */
export type RegistryResolver = (host: string) => Registry | undefined;

/**
 * Creates the resolver of a configuration. It recognizes the host names of private ECR registries, which need no
 * setting, so nothing of the configuration is used so far.
 */
export function createRegistryResolver(_config: object): RegistryResolver {
  return resolvePrivateRegistry;
}

/** Whether a host is the host name that ECR assigns to a private registry. */
export function isEcrHost(host: string): boolean {
  return resolvePrivateRegistry(host) !== undefined;
}

/**
 * Parses the host name of a private registry. Rejects look-alikes: upper case, eleven digits, a longer suffix, or a
 * region of another partition than the suffix.
 */
function resolvePrivateRegistry(host: string): Registry | undefined {
  if (host.length > maxHostLength) {
    return undefined;
  }
  const groups = hostPattern.exec(host)?.groups;
  if (groups === undefined || Number(groups['port'] ?? 1) > 65535) {
    return undefined;
  }
  const { account = '', region = '', suffix = '' } = groups;
  const dualStack = groups['dash'] === '-';
  const partition = getPartition(region);
  if (!getSuffixes(partition, dualStack).includes(suffix)) {
    return undefined;
  }
  const fips = groups['fips'] !== undefined;
  return { kind: 'private', host, account, region, partition: partition.id, fips, dualStack };
}

/** The registries among hosts, in the same order. Hosts that are not recognized are left out. */
export function resolveRegistries(hosts: Iterable<string>, resolveRegistry: RegistryResolver): Registry[] {
  return [...hosts].flatMap((host) => resolveRegistry(host) ?? []);
}

function getSuffixes(partition: Partition, dualStack: boolean): readonly string[] {
  return dualStack ? partition.dualStackSuffixes : [partition.suffix];
}

/**
 * Returns the host of an image reference: the part before the first slash (distribution/reference). Returns undefined
 * if there is no slash, nothing before or after it, or if the host is too long for an ECR host. The reference is
 * untrusted input.
 */
export function getImageHost(image: string): string | undefined {
  const slash = image.indexOf('/');
  return slash > 0 && slash <= maxHostLength && slash < image.length - 1 ? image.slice(0, slash) : undefined;
}
