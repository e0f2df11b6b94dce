import { setTimeout as sleep } from 'node:timers/promises';
import type { RegistryResolver } from '../ecr/registry.ts';
import { KubeError, type KubeErrorCode } from '../kube/errors.ts';
import type { SecretApi, SecretObject } from '../kube/secrets.ts';
import { fieldManager, hostsAnnotation, instanceFieldManager } from '../labels.ts';
import type { Log } from '../telemetry/log.ts';
import { type BackoffPolicy, tokenRetryMs } from '../util/backoff.ts';
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
  type SecretManifest,
} from './ownership.ts';
import type { SecretCache } from './secret-cache.ts';
import { UnmanagedSecretError } from './unavailable-host.ts';

/** Why a host left a Secret. */
export type DropReason =
  /** It never received a token, and was requested too long ago. */
  | 'forgotten'
  /** Another host needed its room. */
  | 'no-room'
  /** The operator removed it. */
  | 'removed';

export interface ChangeSecretDependencies {
  readonly store: SecretStore;
  readonly secretCache: SecretCache;
  readonly resolveRegistry: RegistryResolver;
  readonly log: Log;
  /** Counts a write by its outcome: created, updated, or the code of the failure. */
  countWrite(outcome: string): void;
  /** Whether to keep trying for up to a minute, because nothing tries again later: for commands that end. */
  readonly isPersistent?: boolean | undefined;
  /** Called for hosts that have left a Secret, after the write. */
  onDropped?(namespace: string, hosts: readonly string[], reason: DropReason): void;
}

export interface WriteSecretDependencies extends ChangeSecretDependencies {
  readonly rules: MergeRules;
  /** Finds hosts that may leave a full Secret so that others have room; without it, none do. */
  readonly dropPolicy?: {
    findDroppable(namespace: string, present: SecretContent): Promise<readonly DroppableHost[]>;
  };
}

/** What a Secret is to hold. */
export interface SecretChange {
  readonly content: SecretContent;
  /** Hosts that leave, and why. */
  readonly dropped?: readonly string[];
  readonly reason?: DropReason;
}

/** What is there: no Secret, one as we wrote it, or one that somebody else changed. */
type SecretState = 'absent' | 'intact' | 'edited';

/** How often a write is tried at once, and how long it waits in between. */
interface RetryPolicy {
  readonly maxAttempts: number;
  readonly backoff: BackoffPolicy;
  /** No further try begins so long after the first one, in ms. */
  readonly maxElapsedMs: number;
}

/** More tries than replicas can lose in a row: each lost one means that another replica has written. */
const conflictRetryPolicy: RetryPolicy = {
  maxAttempts: 8,
  backoff: { firstMs: 100, maxMs: 1_000 },
  maxElapsedMs: 10_000,
};
/** An API server that stumbles. Renewal retries what lasts longer, and keeps no caller waiting. */
const transientRetryPolicy: RetryPolicy = {
  maxAttempts: 3,
  backoff: { firstMs: 200, maxMs: 1_000 },
  maxElapsedMs: 5_000,
};

const persistentRetryPolicy: RetryPolicy = {
  maxAttempts: 8,
  backoff: { firstMs: 200, maxMs: 10_000 },
  maxElapsedMs: 60_000,
};

type RetryPolicies = Readonly<Partial<Record<KubeErrorCode, RetryPolicy>>>;

/** After `timeout` and `overloaded` there is no second try: the first one took longer than any caller wants to wait. */
const shortRetries: RetryPolicies = {
  conflict: conflictRetryPolicy,
  network: transientRetryPolicy,
  'server-error': transientRetryPolicy,
  'too-many-requests': transientRetryPolicy,
};
const persistentRetries: RetryPolicies = {
  conflict: persistentRetryPolicy,
  network: persistentRetryPolicy,
  'server-error': persistentRetryPolicy,
  'too-many-requests': persistentRetryPolicy,
  overloaded: persistentRetryPolicy,
  timeout: persistentRetryPolicy,
};

/**
 * How long to wait before the next try, in ms; undefined: there is none.
 * @param attempts tries so far
 * @param elapsedMs since the first one began
 * @param random a number in [0, 1)
 * @param isPersistent see {@link ChangeSecretDependencies}
 */
export function retryDelayMs(
  error: unknown,
  attempts: number,
  elapsedMs: number,
  random: number,
  isPersistent = false,
): number | undefined {
  const policies = isPersistent ? persistentRetries : shortRetries;
  const policy = error instanceof KubeError ? policies[error.code] : undefined;
  const isExhausted =
    policy === undefined || attempts >= policy.maxAttempts || elapsedMs >= policy.maxElapsedMs;
  return isExhausted ? undefined : tokenRetryMs(policy.backoff, attempts, random);
}

/**
 * Makes a namespace's Secret hold what is wanted besides what it holds: reads it, merges, and writes only where that
 * changes anything. Where another replica was faster, starts over from what that one left: the union wins.
 * @param addableHosts hosts that are added where an intact Secret does not name them; any other host has left it meanwhile,
 *   and stays out
 * @returns the hosts that found no room
 * @throws ForeignSecretError, or KubeError when the API server refuses or keeps failing
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
      if (merged.refused.length === 0 || dropPolicy === undefined) {
        return merged;
      }
      const findDroppable = await dropPolicy.findDroppable(namespace, current);
      const droppableHosts = findDroppable.filter(({ host }) => !allowed.has(host));
      return {
        ...mergeContent(namespace, current, allowed, rules, droppableHosts),
        reason: 'no-room' as const,
      };
    },
    dependencies,
  );
  return merged?.refused ?? [];
}

/**
 * Changes the content of a namespace's Secret: reads it, and writes what `change` makes of it. Where another replica was
 * faster, starts over from what that one left.
 * @param change gives undefined where nothing is to be written
 * @returns what the change that was stored came to; undefined: nothing was to be written
 * @throws ForeignSecretError, or KubeError when the API server refuses or keeps failing
 */
export async function changeSecret<T extends SecretChange>(
  namespace: string,
  change: (current: SecretContent, state: SecretState) => Promise<T | undefined>,
  dependencies: ChangeSecretDependencies,
): Promise<T | undefined> {
  const start = performance.now();
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await tryChangeOnce(namespace, change, dependencies);
    } catch (error) {
      dependencies.countWrite(
        error instanceof KubeError || error instanceof UnmanagedSecretError ? error.code : 'internal-error',
      );
      const delayMs = retryDelayMs(
        error,
        attempts,
        performance.now() - start,
        Math.random(),
        dependencies.isPersistent,
      );
      if (delayMs === undefined) {
        throw error;
      }
      await sleep(delayMs);
    }
  }
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
  const state =
    existing === undefined ? 'absent' : isIntact(getOwnershipFacts(existing)) ? 'intact' : 'edited';
  const changed = await change(current, state);
  const manifest = changed && createManifest(changed.content);
  // what somebody else wrote is written once more, though equal, so that it is ours again
  if (
    manifest === undefined ||
    (existing !== undefined && state === 'intact' && matchesManifest(existing, manifest))
  ) {
    return changed;
  }
  const stored =
    existing === undefined ? await store.create(namespace, manifest) : await store.update(existing, manifest);
  dependencies.countWrite(existing === undefined ? 'created' : 'updated');
  secretCache.updateFromWrite(stored);
  reportDropped(namespace, changed, dependencies);
  return changed;
}

/** Hosts in one line of the log, which shows so many in full: a host has at most 128 characters. */
const maxHostsPerLogLine = 50;

/** No host leaves without a trace. */
function reportDropped(
  namespace: string,
  change: SecretChange | undefined,
  dependencies: ChangeSecretDependencies,
): void {
  const { dropped = [], reason } = change ?? {};
  if (dropped.length === 0 || reason === undefined) {
    return;
  }
  for (let from = 0; from < dropped.length; from += maxHostsPerLogLine) {
    const hosts = dropped.slice(from, from + maxHostsPerLogLine);
    dependencies.log.warn({ namespace, reason, hosts }, 'hosts dropped from the pull Secret');
  }
  dependencies.onDropped?.(namespace, dropped, reason);
}

/** Whether a Secret of the program's name is managed: see {@link ownsSecret}. */
export function isManagedSecret(secret: SecretObject): boolean {
  return ownsSecret(getOwnershipFacts(secret));
}

function getOwnershipFacts({ type = '', metadata: { labels }, fieldOwners }: SecretObject): OwnershipFacts {
  return { type, labels, fieldOwners };
}

/**
 * Adds the hosts that a namespace's Secret had before it was deleted, replaced or edited: they wait for their tokens again.
 * They come first, so that hosts that another writer added cannot push them out.
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
) {
  const encoded = data?.[dockerConfigKey];
  const json = encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString();
  const { content, malformed } = readContent(json, metadata.annotations?.[hostsAnnotation], resolveRegistry);
  for (const { place, text } of malformed) {
    const secret = `${metadata.namespace}/${metadata.name}`;
    log.warn({ secret, place }, `Secret ${secret}: ${place} ${text}; it is left out`);
  }
  return content;
}

/**
 * The pull Secrets of the cluster, all of one name, written by server-side apply only: that is what lets RBAC grant
 * us this one name and nothing else.
 */
export interface SecretStore {
  read(namespace: string): Promise<SecretObject | undefined>;
  /** Makes the Secret where there is none; `conflict` where somebody else just made it with another content. */
  create(namespace: string, content: SecretManifest): Promise<SecretObject>;
  /** Changes the Secret in place; `conflict` where it is no longer the one that was read. */
  update(read: SecretObject, content: SecretManifest): Promise<SecretObject>;
}

/**
 * @param name the Secret's name in every namespace
 * @param instance tells this process from other replicas: the race of two creators is caught only because they are
 *   two field managers that do not force (an apply with a resourceVersion creates where there is nothing)
 */
export function createSecretStore(api: SecretApi, name: string, instance: string): SecretStore {
  const createObject = (metadata: SecretObject['metadata'], content: SecretManifest): SecretObject => ({
    metadata: { ...metadata, labels: content.labels, annotations: content.annotations },
    type: content.type,
    data: content.data,
  });
  return {
    read: (namespace) => api.read(namespace, name),
    create: (namespace, content) =>
      api.apply(createObject({ namespace, name }, content), {
        fieldManager: instanceFieldManager(instance),
        force: false,
      }),
    update: ({ metadata: { namespace, uid, resourceVersion } }, content) =>
      api.apply(
        createObject(
          {
            namespace,
            name,
            ...(uid !== undefined && { uid }),
            ...(resourceVersion !== undefined && { resourceVersion }),
          },
          content,
        ),
        { fieldManager, force: true },
      ),
  };
}
