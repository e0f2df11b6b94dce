// Decides what happens to stored tokens of hosts that the operator removed from the configuration. Pure.
import { isUnexpired } from '../ecr/token-policy.ts';
import type { AuthEntry } from './docker-config.ts';
import type { UnconfiguredHosts } from './hosts-annotation.ts';

/** Keeps the hosts whose entries have the form that the program writes, because others are no longer its own. */
export function keepOwnEntries(
  hosts: UnconfiguredHosts,
  auths: ReadonlyMap<string, AuthEntry>,
): UnconfiguredHosts {
  return new Map([...hosts].filter(([host]) => ownEntryPattern.test(auths.get(host) ?? '')));
}

/** Only `auth`, with base64 of ECR's user name `AWS` and a password. */
const ownEntryPattern = /^\{"auth":"QVdTO[g-v][A-Za-z0-9+/=]*"\}$/;

interface ContentWithUnconfiguredHosts {
  readonly auths: ReadonlyMap<string, AuthEntry>;
  readonly unconfigured?: UnconfiguredHosts;
}

/**
 * Omits the entries of hosts whose tokens have expired. With an expired token, pulls fail that succeed without one, such as those
 * from the public registry. A valid token stays, so that a setting that is removed by mistake does no harm for hours.
 * @returns `expired`: the hosts that are omitted
 */
export function omitExpiredHosts(
  { auths, unconfigured = new Map() }: ContentWithUnconfiguredHosts,
  now: number,
): {
  readonly auths: Map<string, AuthEntry>;
  readonly unconfigured: UnconfiguredHosts;
  readonly expired: readonly string[];
} {
  const valid = new Map([...unconfigured].filter(([, { expiresAt }]) => isUnexpired(expiresAt, now)));
  const expired = [...unconfigured.keys()].filter((host) => !valid.has(host));
  const kept = new Map([...auths].filter(([host]) => !expired.includes(host)));
  return { auths: kept, unconfigured: valid, expired };
}
