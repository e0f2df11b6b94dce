// The AWS partitions: their ECR host names, regions and home regions of STS.

/** An AWS partition. */
export interface Partition {
  readonly id: string;
  /** Suffix of `ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX`. */
  readonly suffix: string;
  /** Suffixes of `ACCOUNT.dkr-ecr[-fips].REGION.SUFFIX`. */
  readonly dualStackSuffixes: readonly string[];
  /** Prefixes of the names of its regions; none: every region that belongs to no other partition. */
  readonly regionPrefixes: readonly string[];
  /** Region of AWS STS if no region is configured: `implicitGlobalRegion` in the SDK's `partitions.json`. */
  readonly stsHomeRegion: string;
}

/**
 * All AWS partitions. The program has no other list of them.
 * Sources: kubernetes/cloud-provider-aws `cmd/ecr-credential-provider/main.go`, awslabs/amazon-ecr-credential-helper
 * `ecr-login/api/client.go`, and, for the dual-stack forms those two miss, the SDK's own `partitions.json`.
 * @internal exported for its tests
 */
export const partitions: readonly Partition[] = [
  {
    id: 'aws',
    suffix: 'amazonaws.com',
    dualStackSuffixes: ['on.aws'],
    regionPrefixes: [],
    stsHomeRegion: 'us-east-1',
  },
  {
    id: 'aws-us-gov',
    suffix: 'amazonaws.com',
    dualStackSuffixes: ['on.aws'],
    regionPrefixes: ['us-gov-'],
    stsHomeRegion: 'us-gov-west-1',
  },
  {
    id: 'aws-cn',
    suffix: 'amazonaws.com.cn',
    dualStackSuffixes: ['on.amazonwebservices.com.cn'],
    regionPrefixes: ['cn-'],
    stsHomeRegion: 'cn-northwest-1',
  },
  {
    id: 'aws-eusc',
    suffix: 'amazonaws.eu',
    dualStackSuffixes: ['on.amazonwebservices.eu', 'amazonwebservices.eu'],
    regionPrefixes: ['eusc-'],
    stsHomeRegion: 'eusc-de-east-1',
  },
  {
    id: 'aws-iso',
    suffix: 'c2s.ic.gov',
    dualStackSuffixes: ['on.aws.ic.gov'],
    regionPrefixes: ['us-iso-'],
    stsHomeRegion: 'us-iso-east-1',
  },
  {
    id: 'aws-iso-b',
    suffix: 'sc2s.sgov.gov',
    dualStackSuffixes: ['on.aws.scloud'],
    regionPrefixes: ['us-isob-'],
    stsHomeRegion: 'us-isob-east-1',
  },
  {
    id: 'aws-iso-e',
    suffix: 'cloud.adc-e.uk',
    dualStackSuffixes: ['on.cloud-aws.adc-e.uk'],
    regionPrefixes: ['eu-isoe-'],
    stsHomeRegion: 'eu-isoe-west-1',
  },
  {
    id: 'aws-iso-f',
    suffix: 'csp.hci.ic.gov',
    dualStackSuffixes: ['on.aws.hci.ic.gov'],
    regionPrefixes: ['us-isof-'],
    stsHomeRegion: 'us-isof-south-1',
  },
];

/** Finds the partition of a region by the prefix of its name. An unknown region is in `aws`. */
export function getPartition(region: string): Partition {
  const match = partitions.find((row) => row.regionPrefixes.some((prefix) => region.startsWith(prefix)));
  return match ?? defaultPartition;
}

const defaultPartition: Partition = partitions[0] ?? throwEmptyTable();

function throwEmptyTable(): never {
  throw new Error('the partition table is empty');
}

/**
 * Selects the region whose STS is called to assume a role: the configured region if it is in the partition of the role,
 * otherwise the home region of that partition. By default, the SDK would take the region of the first image that a user
 * names.
 * @param roleArn undefined if the role is not known; the partition is then that of the configured region
 * @param configuredRegion the region of AWS_REGION, the profile or the node; undefined: none
 */
export function resolveStsRegion(roleArn: string | undefined, configuredRegion: string | undefined): string {
  const id = roleArn?.split(':')[1] ?? getPartition(configuredRegion ?? '').id;
  if (configuredRegion !== undefined && getPartition(configuredRegion).id === id) {
    return configuredRegion;
  }
  return (partitions.find((partition) => partition.id === id) ?? defaultPartition).stsHomeRegion;
}
