// Changes the content of a namespace's Secret: read, merge, write, and start over after a conflict.
import type { DeniedHost } from '../ecr/identity.ts';
import type { RegistryResolver } from '../ecr/registry.ts';
import { KubeError } from '../kube/errors.ts';
import type { SecretObject } from '../kube/secrets.ts';
import { hostsAnnotation } from '../labels.ts';
import type { Log } from '../telemetry/log.ts';
import { retry } from '../util/retry.ts';
import { addFormerHosts, type HostLifetimes } from './hosts-annotation.ts';
import {
  type DesiredHosts,
  type DroppableHost,
  emptyContent,
  type MergeRules,
  mergeContent,
  readContent,
  type SecretContent,
} from './merge.ts';
import {
  createManifest,
  dockerConfigKey,
  isIntact,
  matchesManifest,
  type OwnershipFacts,
  ownsSecret,
} from './ownership.ts';
import type { SecretCache } from './secret-cache.ts';
import type { SecretStore } from './secret-store.ts';
import { UnmanagedSecretError } from './unavailable-host.ts';
import { retryDelayMs } from './write-retries.ts';

/** Why a host was removed from a Secret. */
export type DropReason =
  /** It never received a token, and was requested too long ago. */
  | 'expired-request'
  /** The Secret was full, and another host needed the room. */
  | 'secret-full'
  /** A rule denies the namespace its tokens. */
  | 'denied'
  /** The operator removed it. */
  | 'removed'
  /** It is no longer configured, and its token has expired. */
  | 'unconfigured';

export interface ChangeSecretDependencies {
  readonly store: SecretStore;
  readonly secretCache: SecretCache;
  readonly resolveRegistry: RegistryResolver;
  readonly log: Log;
  /** Counts a write by its outcome: `created`, `updated`, or the code of the error. */
  countWrite(outcome: string): void;
  /** Whether to retry for up to a minute. For commands that exit, because nothing retries after them. */
  readonly isPersistent?: boolean | undefined;
  /** Called after a write that removed hosts. */
  onDropped?(namespace: string, hosts: readonly string[], reason: DropReason): void;
  /** Called as well after a write that removed hosts that rules deny to the namespace. */
  onDenied?(namespace: string, hosts: readonly DeniedHost[]): void;
}

export interface WriteSecretDependencies extends ChangeSecretDependencies {
  readonly rules: MergeRules;
  /** Finds hosts that may be removed from a full Secret to make room for others. Without it, none are removed. */
  readonly dropPolicy?: {
    findDroppable(namespace: string, present: SecretContent): Promise<readonly DroppableHost[]>;
  };
}

/** The content that a Secret gets. */
export interface SecretChange {
  readonly content: SecretContent;
  /** Hosts that the change removes, and the reason. */
  readonly dropped?: readonly string[];
  readonly reason?: DropReason;
  /** Hosts that the change removes because they are no longer configured. */
  readonly expired?: readonly string[];
  /** Hosts that the change removes because rules deny them to the namespace. */
  readonly denied?: readonly DeniedHost[];
}

/** Whether there is no Secret, one as the program wrote it, or one that another writer has modified. */
type SecretState = 'absent' | 'intact' | 'modified';

/**
 * Merges hosts into a namespace's Secret, and writes it only if that changes anything. After a conflict, it starts over with
 * the content that the other replica wrote, so that the result is the union.
 * @param addableHosts hosts that may be added to an intact Secret that does not name them. Other hosts have been removed
 *   from the Secret in the meantime and are not added again.
 * @returns the hosts for which there was no room
 * @throws {UnmanagedSecretError} if the Secret is not managed
 * @throws {KubeError} if the API server refuses the write or keeps failing
 */
export async function mergeIntoSecret(
  namespace: string,
  desired: DesiredHosts,
  dependencies: WriteSecretDependencies,
  addableHosts: ReadonlySet<string> = new Set(desired.keys()),
): Promise<readonly string[]> {
  const { rules, dropPolicy } = dependencies;
  const merged = await changeSecret(
    namespace,
    async (current, state) => {
      const allowed =
        state === 'intact'
          ? new Map([...desired].filter(([host]) => current.hosts.has(host) || addableHosts.has(host)))
          : desired;
      const merged = mergeContent(namespace, current, allowed, rules);
      if (state === 'absent' && merged.content.hosts.size === 0) {
        return undefined; // The hosts were denied to the namespace in the meantime.
      }
      if (merged.refused.length === 0 || dropPolicy === undefined) {
        return merged;
      }
      const candidates = await dropPolicy.findDroppable(namespace, current);
      const droppable = candidates.filter(({ host }) => !allowed.has(host));
      return {
        ...mergeContent(namespace, current, allowed, rules, droppable),
        reason: 'secret-full' as const,
      };
    },
    dependencies,
  );
  return merged?.refused ?? [];
}

/**
 * Reads a namespace's Secret and writes the content that `change` returns. After a conflict, it starts over with the content
 * that the other replica wrote.
 * @param change returns undefined if there is nothing to write
 * @returns the change that was stored, or undefined if there was nothing to write
 * @throws {UnmanagedSecretError} if the Secret is not managed
 * @throws {KubeError} if the API server refuses the write or keeps failing
 */
export async function changeSecret<T extends SecretChange>(
  namespace: string,
  change: (current: SecretContent, state: SecretState) => Promise<T | undefined>,
  dependencies: ChangeSecretDependencies,
): Promise<T | undefined> {
  return await retry(
    () => tryChangeOnce(namespace, change, dependencies),
    (error, attempts, elapsedMs) => {
      const isExpected = error instanceof KubeError || error instanceof UnmanagedSecretError;
      dependencies.countWrite(isExpected ? error.code : 'internal-error');
      return retryDelayMs(error, attempts, elapsedMs, Math.random(), dependencies.isPersistent);
    },
  );
}

async function tryChangeOnce<T extends SecretChange>(
  namespace: string,
  change: (current: SecretContent, state: SecretState) => Promise<T | undefined>,
  dependencies: ChangeSecretDependencies,
): Promise<T | undefined> {
  const { store, secretCache } = dependencies;
  const existing = await store.read(namespace);
  if (existing !== undefined) {
    const isManaged = isManagedSecret(existing);
    secretCache.updateFromRead(existing, isManaged);
    if (!isManaged) {
      throw new UnmanagedSecretError(namespace, existing.metadata.name);
    }
  }
  const storedContent = existing === undefined ? emptyContent : readSecretContent(existing, dependencies);
  const current = addFormerHostsToContent(storedContent, secretCache.hostsOf(namespace));
  const state = getState(existing);
  const changed = await change(current, state);
  if (changed === undefined) {
    return undefined;
  }
  const manifest = createManifest(changed.content);
  // A modified Secret is written even if its content is equal, so that the program owns the fields again.
  if (existing !== undefined && state === 'intact' && matchesManifest(existing, manifest)) {
    if (secretCache.get(namespace)?.isIntact === false) {
      secretCache.updateFromWrite(existing); // The hosts that it does not name have been denied since.
    }
    return changed;
  }
  const stored =
    existing === undefined ? await store.create(namespace, manifest) : await store.update(existing, manifest);
  dependencies.countWrite(existing === undefined ? 'created' : 'updated');
  secretCache.updateFromWrite(stored);
  reportChange(namespace, changed, dependencies);
  return changed;
}

/** Maximum number of hosts in one log line. The log does not truncate so many, with at most 128 characters each. */
const maxHostsPerLogLine = 50;

/** Logs each host that a change removed. */
function reportChange(
  namespace: string,
  { dropped = [], reason, expired = [], denied = [] }: SecretChange,
  dependencies: ChangeSecretDependencies,
): void {
  if (dropped.length > 0 && reason !== undefined) {
    reportDropped({ namespace, reason, rule: undefined }, dropped, dependencies);
  }
  if (expired.length > 0) {
    reportDropped({ namespace, reason: 'unconfigured', rule: undefined }, expired, dependencies);
  }
  for (const [rule, hosts] of Map.groupBy(denied, (host) => host.rule)) {
    const names = hosts.map(({ host }) => host);
    reportDropped({ namespace, reason: 'denied', rule }, names, dependencies);
  }
  if (denied.length > 0) {
    dependencies.onDenied?.(namespace, denied);
  }
}

function reportDropped(
  { namespace, reason, rule }: { namespace: string; reason: DropReason; rule: string | undefined },
  dropped: readonly string[],
  { log, onDropped }: ChangeSecretDependencies,
): void {
  for (let from = 0; from < dropped.length; from += maxHostsPerLogLine) {
    const hosts = dropped.slice(from, from + maxHostsPerLogLine);
    log.warn({ namespace, reason, rule, hosts }, 'hosts dropped from the pull Secret');
  }
  onDropped?.(namespace, dropped, reason);
}

/** Whether a Secret with the program's name is managed: see {@link ownsSecret}. */
export function isManagedSecret(secret: SecretObject): boolean {
  return ownsSecret(getOwnershipFacts(secret));
}

function getState(secret: SecretObject | undefined): SecretState {
  if (secret === undefined) {
    return 'absent';
  }
  return isIntact(getOwnershipFacts(secret)) ? 'intact' : 'modified';
}

function getOwnershipFacts({ type = '', metadata: { labels }, fieldOwners }: SecretObject): OwnershipFacts {
  return { type, labels, fieldOwners };
}

/**
 * Adds the hosts that a namespace's Secret had before it was deleted, replaced or modified. They wait for new tokens. They
 * come first, so that hosts that another writer added cannot displace them.
 */
function addFormerHostsToContent(content: SecretContent, formerHosts: HostLifetimes): SecretContent {
  if ([...formerHosts.keys()].every((host) => content.hosts.has(host))) {
    return content;
  }
  return { ...content, hosts: addFormerHosts(content.hosts, formerHosts) };
}

function readSecretContent(
  { metadata, data }: SecretObject,
  { resolveRegistry, log }: ChangeSecretDependencies,
): SecretContent {
  const encoded = data?.[dockerConfigKey];
  const json = encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString();
  const { content, malformed } = readContent(json, metadata.annotations?.[hostsAnnotation], resolveRegistry);
  for (const { path, problem } of malformed) {
    const { namespace, name: secret } = metadata;
    log.warn({ namespace, secret, path, problem }, 'skipped a malformed part of the pull Secret');
  }
  return content;
}
