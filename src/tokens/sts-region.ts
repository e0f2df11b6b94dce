import { partitionOfRegion } from '../images/partitions.ts';

/** Where the STS of each partition lives if no region is set: `implicitGlobalRegion` of the SDK's `partitions.json`. */
const homes: Readonly<Record<string, string>> = {
  aws: 'us-east-1',
  'aws-us-gov': 'us-gov-west-1',
  'aws-cn': 'cn-northwest-1',
  'aws-eusc': 'eusc-de-east-1',
  'aws-iso': 'us-iso-east-1',
  'aws-iso-b': 'us-isob-east-1',
  'aws-iso-e': 'eu-isoe-west-1',
  'aws-iso-f': 'us-isof-south-1',
};

/**
 * The region whose STS is asked for a role: the configured one if it lies in the role's partition, else the
 * partition's home. Left to itself the SDK would take the region of the first image that anybody names.
 * @param roleArn undefined where the role is not known: the configured region counts
 * @param configured the region of AWS_REGION, of the profile or of the node; undefined: none
 */
export function stsRegion(roleArn: string | undefined, configured: string | undefined): string {
  const partition = roleArn?.split(':')[1] ?? partitionOfRegion(configured ?? '').id;
  const fits = configured !== undefined && partitionOfRegion(configured).id === partition;
  return fits ? configured : (homes[partition] ?? 'us-east-1');
}
