/** One row for each AWS partition: under which names its ECR hosts live and which regions are its own. */
export interface Partition {
  readonly id: string;
  /** Suffix of `ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX`. */
  readonly suffix: string;
  /** Suffixes of `ACCOUNT.dkr-ecr[-fips].REGION.SUFFIX`. */
  readonly dualStackSuffixes: readonly string[];
  /** Prefixes of region names that belong to this partition; none: every region that no other row claims. */
  readonly regionPrefixes: readonly string[];
}

/**
 * The only list of ECR's host suffixes in the program.
 * Sources: kubernetes/cloud-provider-aws `cmd/ecr-credential-provider/main.go`, awslabs/amazon-ecr-credential-helper
 * `ecr-login/api/client.go`, and, for the dual-stack forms those two miss, the SDK's own `partitions.json`.
 */
export const partitions: readonly Partition[] = [
  { id: 'aws', suffix: 'amazonaws.com', dualStackSuffixes: ['on.aws'], regionPrefixes: [] },
  { id: 'aws-us-gov', suffix: 'amazonaws.com', dualStackSuffixes: ['on.aws'], regionPrefixes: ['us-gov-'] },
  {
    id: 'aws-cn',
    suffix: 'amazonaws.com.cn',
    dualStackSuffixes: ['on.amazonwebservices.com.cn'],
    regionPrefixes: ['cn-'],
  },
  {
    id: 'aws-eusc',
    suffix: 'amazonaws.eu',
    dualStackSuffixes: ['on.amazonwebservices.eu', 'amazonwebservices.eu'],
    regionPrefixes: ['eusc-'],
  },
  { id: 'aws-iso', suffix: 'c2s.ic.gov', dualStackSuffixes: ['on.aws.ic.gov'], regionPrefixes: ['us-iso-'] },
  {
    id: 'aws-iso-b',
    suffix: 'sc2s.sgov.gov',
    dualStackSuffixes: ['on.aws.scloud'],
    regionPrefixes: ['us-isob-'],
  },
  {
    id: 'aws-iso-e',
    suffix: 'cloud.adc-e.uk',
    dualStackSuffixes: ['on.cloud-aws.adc-e.uk'],
    regionPrefixes: ['eu-isoe-'],
  },
  {
    id: 'aws-iso-f',
    suffix: 'csp.hci.ic.gov',
    dualStackSuffixes: ['on.aws.hci.ic.gov'],
    regionPrefixes: ['us-isof-'],
  },
];

/** The partition to which a region belongs, by the prefix of its name. Never fails: an unknown region is in `aws`. */
export function partitionOfRegion(region: string): Partition {
  const claimed = partitions.find((row) => row.regionPrefixes.some((prefix) => region.startsWith(prefix)));
  return claimed ?? commercial;
}

const commercial: Partition = partitions[0] ?? neverEmpty();

function neverEmpty(): never {
  throw new Error('the partition table is empty');
}
