import { getPartition, type Partition } from './partitions.ts';

/** A private ECR registry as an image names it. */
export interface Registry {
  /** The image's own host, with its port if it has one: the key of the `auths` entry. */
  readonly host: string;
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
  /** Id of the AWS partition, such as `aws` or `aws-cn`. */
  readonly partition: string;
  readonly fips: boolean;
  readonly dualStack: boolean;
}

/** No ECR host is longer; anything longer is refused before any pattern sees it. */
const maxHostLength = 128;

/** `ACCOUNT.dkr.ecr` or `ACCOUNT.dkr-ecr`, region, suffix, port. Each class ends where the next begins: no backtracking. */
const hostPattern =
  /^(?<account>\d{12})\.dkr(?<dash>[.-])ecr(?<fips>-fips)?\.(?<region>[a-z]{2,8}(?:-[a-z]{1,16}){1,3}-\d{1,2})\.(?<suffix>[a-z][a-z0-9.-]*)(?::(?<port>[1-9]\d{0,4}))?$/;

/**
 * Reads a registry host, `HOST` or `HOST:PORT`, as ECR's.
 * Gives undefined for everything else, look-alikes too: upper case, eleven digits, a longer suffix, or a region that
 * is not of the suffix's partition. Never throws; linear in the length of its input.
 */
export function parseEcrHost(host: string): Registry | undefined {
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
  return { host, account, region, partition: partition.id, fips: groups['fips'] !== undefined, dualStack };
}

/** The ECR registries among hosts, in their order; what is none is left out. */
export function parseEcrHosts(hosts: Iterable<string>): Registry[] {
  return [...hosts].flatMap((host) => parseEcrHost(host) ?? []);
}

function getSuffixes(partition: Partition, dualStack: boolean): readonly string[] {
  return dualStack ? partition.dualStackSuffixes : [partition.suffix];
}

/**
 * The host that an image reference, as somebody typed it, names: what stands before the first slash
 * (distribution/reference). A host in the path, tag or digest is none. Undefined where there is no slash, or nothing
 * before or behind it; too long a host for ECR's is none either.
 */
export function getImageHost(image: string): string | undefined {
  const slash = image.indexOf('/');
  return slash > 0 && slash <= maxHostLength && slash < image.length - 1 ? image.slice(0, slash) : undefined;
}

/** The ECR registry that an image reference pulls from; undefined where it is not ECR's. */
export function getImageRegistry(image: string): Registry | undefined {
  const host = getImageHost(image);
  return host === undefined ? undefined : parseEcrHost(host);
}
