// Parses the host names that Amazon ECR assigns to registries. Pure.
import { isPort, maxHostLength } from './host-name.ts';
import { getPartition, type Partition } from './partitions.ts';

/** What the host name of a private registry says. */
export interface PrivateHost {
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
  /** Id of the AWS partition, such as `aws` or `aws-cn`. */
  readonly partition: string;
  readonly fips: boolean;
  readonly dualStack: boolean;
}

const regionPattern = /[a-z]{2,8}(?:-[a-z]{1,16}){1,3}-\d{1,2}/.source;
const wholeRegionPattern = new RegExp(`^${regionPattern}$`);

/** `ACCOUNT.dkr.ecr` or `ACCOUNT.dkr-ecr`, region, suffix and port. No two adjacent parts overlap, so it does not backtrack. */
const privatePattern = new RegExp(
  String.raw`^(?<account>\d{12})\.dkr(?<dash>[.-])ecr(?<fips>-fips)?\.(?<region>${regionPattern})\.(?<suffix>[a-z][a-z0-9.-]*)(?::(?<port>[1-9]\d{0,4}))?$`,
);

/**
 * Parses the host name of a private registry, which may have a port. Rejects look-alikes: upper case, eleven digits, a longer
 * suffix, or a region of another partition than the suffix.
 */
export function parsePrivateHost(host: string): PrivateHost | undefined {
  if (host.length > maxHostLength) {
    return undefined;
  }
  const groups = privatePattern.exec(host)?.groups;
  if (groups === undefined || !isPort(groups['port'])) {
    return undefined;
  }
  const { account = '', region = '', suffix = '' } = groups;
  const dualStack = groups['dash'] === '-';
  const partition = getPartition(region);
  if (!getSuffixes(partition, dualStack).includes(suffix)) {
    return undefined;
  }
  return { account, region, partition: partition.id, fips: groups['fips'] !== undefined, dualStack };
}

function getSuffixes(partition: Partition, dualStack: boolean): readonly string[] {
  return dualStack ? partition.dualStackSuffixes : [partition.suffix];
}

/** A region such as `eu-central-1` or `us-gov-west-1`, as it is part of host names. */
export function isRegion(text: string): boolean {
  return wholeRegionPattern.test(text);
}

/** The hosts of the public registry (Amazon ECR Public, user guide). */
const publicPattern = /^(?:public\.ecr\.aws|(?<dualStack>ecr-public\.aws\.com))(?::(?<port>[1-9]\d{0,4}))?$/;

/** Parses a host name of the public registry, which may have a port. The second name is reachable over IPv6 too. */
export function parsePublicHost(host: string): { readonly dualStack: boolean } | undefined {
  const match = host.length > maxHostLength ? null : publicPattern.exec(host);
  return match === null || !isPort(match.groups?.['port'])
    ? undefined
    : { dualStack: match.groups?.['dualStack'] !== undefined };
}
