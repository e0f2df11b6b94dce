/** One row for each AWS partition: under which names its ECR hosts live and which regions are its own. */
export interface Partition {
  readonly id: string;
  /** Suffix of `ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX`. */
  readonly suffix: string;
  /** Suffixes of `ACCOUNT.dkr-ecr[-fips].REGION.SUFFIX`. */
  readonly dualStackSuffixes: readonly string[];
  /** Prefixes of region names that belong to this partition; none: every region that no other row claims. */
  readonly regionPrefixes: readonly string[];
  /** The region of AWS STS where no region is configured: `implicitGlobalRegion` of the SDK's `partitions.json`. */
  readonly stsHomeRegion: string;
}

/**
 * The only list of AWS partitions in the program.
 * Sources: kubernetes/cloud-provider-aws `cmd/ecr-credential-provider/main.go`, awslabs/amazon-ecr-credential-helper
 * `ecr-login/api/client.go`, and, for the dual-stack forms those two miss, the SDK's own `partitions.json`.
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

/** The partition to which a region belongs, by the prefix of its name. Never fails: an unknown region is in `aws`. */
export function getPartition(region: string): Partition {
  const match = partitions.find((row) => row.regionPrefixes.some((prefix) => region.startsWith(prefix)));
  return match ?? defaultPartition;
}

const defaultPartition: Partition = partitions[0] ?? throwEmptyTable();

function throwEmptyTable(): never {
  throw new Error('the partition table is empty');
}

/**
 * The region whose STS is asked for a role: the configured one if it lies in the role's partition, else the
 * partition's home. Left to itself the SDK would take the region of the first image that anybody names.
 * @param roleArn undefined where the role is not known: the configured region counts
 * @param configuredRegion the region of AWS_REGION, of the profile or of the node; undefined: none
 */
export function resolveStsRegion(roleArn: string | undefined, configuredRegion: string | undefined): string {
  const id = roleArn?.split(':')[1] ?? getPartition(configuredRegion ?? '').id;
  if (configuredRegion !== undefined && getPartition(configuredRegion).id === id) {
    return configuredRegion;
  }
  return (partitions.find((partition) => partition.id === id) ?? defaultPartition).stsHomeRegion;
}
