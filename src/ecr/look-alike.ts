// Explains why a host that looks like one of Amazon ECR is none. Pure.
import { isRegion, parsePrivateHost, parsePublicHost } from './ecr-host.ts';
import { maxHostLength } from './host-name.ts';
import { getPartition } from './partitions.ts';

/** The parts of something like `ACCOUNT.dkr.ecr.REGION.SUFFIX`. No two adjacent parts overlap. */
const similarPattern =
  /^(?<account>[^.]+)\.dkr(?<dash>[.-])ecr(?:-fips)?\.(?<region>[^.]+)\.(?<suffix>[^:]+)/;

/**
 * Returns why a host that was meant as an ECR host is not one, as the rest of a sentence that begins with the host; undefined if it
 * does not look like one, or is one. The host is untrusted input.
 */
export function explainLookAlike(host: string): string | undefined {
  const lower = host.toLowerCase();
  if (host.length > maxHostLength || parsePrivateHost(host) !== undefined) {
    return undefined;
  }
  if (host !== lower && (parsePrivateHost(lower) ?? parsePublicHost(lower)) !== undefined) {
    return `has uppercase letters; write ${lower}`;
  }
  const groups = similarPattern.exec(lower)?.groups;
  if (groups === undefined) {
    return /\becr\b|\bdkr\b|amazonaws/.test(lower) && parsePublicHost(lower) === undefined
      ? 'does not have the form ACCOUNT.dkr.ecr.REGION.amazonaws.com'
      : undefined;
  }
  const { account = '', region = '', suffix = '', dash = '' } = groups;
  return explainParts(account, region, suffix, dash === '-');
}

function explainParts(account: string, region: string, suffix: string, dualStack: boolean): string {
  if (!/^\d{12}$/.test(account)) {
    return /^\d+$/.test(account)
      ? `begins with an account of ${account.length} digits; AWS accounts have 12`
      : 'does not begin with an AWS account of 12 digits';
  }
  if (!isRegion(region)) {
    return `has ${region} in place of a region such as eu-central-1`;
  }
  const partition = getPartition(region);
  const suffixes = dualStack ? partition.dualStackSuffixes : [partition.suffix];
  return suffixes.includes(suffix)
    ? 'has an invalid port'
    : `ends with ${suffix}, but ECR hosts in ${region} end with ${suffixes.join(' or ')}`;
}
