import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError, type KubeErrorCode } from '../kube/errors.ts';
import type { SecretApi, SecretObject } from '../kube/secrets.ts';
import { fieldManager, hostsAnnotation, instanceFieldManager } from '../labels.ts';
import type { Log } from '../telemetry/log.ts';
import { type BackoffPolicy, backoffMs } from '../util/backoff.ts';
import { type HostLives, withWaiting } from './hosts-annotation.ts';
import {
  type Content,
  type Droppable,
  type MergeRules,
  mergeContent,
  noContent,
  readContent,
  type Wanted,
} from './merge.ts';
import { dockerConfigKey, holds, isIntact, ownsSecret, type Written, written } from './ownership.ts';
import type { SecretView } from './secret-cache.ts';
import { ForeignSecretError } from './unavailable-host.ts';

/** Why a host left a Secret. */
export type DropReason =
  /** It never received a token, and was requested too long ago. */
  | 'forgotten'
  /** Another host needed its room. */
  | 'no-room'
  /** The operator removed it. */
  | 'removed';

export interface ChangeParts {
  readonly store: SecretStore;
  readonly view: SecretView;
  readonly log: Log;
  /** Counts a write by its outcome: created, updated, or the code of the failure. */
  counted(outcome: string): void;
  /** Whether to keep trying for up to a minute, because nothing tries again later: for commands that end. */
  readonly isPatient?: boolean | undefined;
  /** Called for hosts that have left a Secret, after the write. */
  dropped?(namespace: string, hosts: readonly string[], reason: DropReason): void;
}

export interface WriteParts extends ChangeParts {
  readonly rules: MergeRules;
  /** Finds hosts that may leave a full Secret so that others have room; without it, none do. */
  readonly room?: { droppable(namespace: string, present: Content): Promise<readonly Droppable[]> };
}

/** What a Secret is to hold. */
export interface Change {
  readonly content: Content;
  /** Hosts that leave, and why. */
  readonly dropped?: readonly string[];
  readonly reason?: DropReason;
}

/** What is there: no Secret, one as we wrote it, or one that somebody else changed. */
type State = 'absent' | 'intact' | 'edited';

/** How often a write is tried at once, and how long it waits in between. */
interface RetryPolicy {
  readonly maxTries: number;
  readonly backoff: BackoffPolicy;
  /** No further try begins so long after the first one, in ms. */
  readonly withinMs: number;
}

/** More tries than replicas can lose in a row: each lost one means that another replica has written. */
const afterConflict: RetryPolicy = {
  maxTries: 8,
  backoff: { firstMs: 100, maxMs: 1_000 },
  withinMs: 10_000,
};
/** An API server that stumbles. Renewal retries what lasts longer, and keeps no caller waiting. */
const afterHiccup: RetryPolicy = {
  maxTries: 3,
  backoff: { firstMs: 200, maxMs: 1_000 },
  withinMs: 5_000,
};

const untilBetter: RetryPolicy = {
  maxTries: 8,
  backoff: { firstMs: 200, maxMs: 10_000 },
  withinMs: 60_000,
};

type RetryPolicies = Readonly<Partial<Record<KubeErrorCode, RetryPolicy>>>;

/** After `timeout` and `overloaded` there is no second try: the first one took longer than any caller wants to wait. */
const briefly: RetryPolicies = {
  conflict: afterConflict,
  network: afterHiccup,
  'server-error': afterHiccup,
  'too-many-requests': afterHiccup,
};
const patiently: RetryPolicies = {
  conflict: untilBetter,
  network: untilBetter,
  'server-error': untilBetter,
  'too-many-requests': untilBetter,
  overloaded: untilBetter,
  timeout: untilBetter,
};

/**
 * How long to wait before the next try, in ms; undefined: there is none.
 * @param tries tries so far
 * @param elapsedMs since the first one began
 * @param random a number in [0, 1)
 * @param isPatient see {@link ChangeParts}
 */
export function nextTryMs(
  error: unknown,
  tries: number,
  elapsedMs: number,
  random: number,
  isPatient = false,
): number | undefined {
  const policies = isPatient ? patiently : briefly;
  const policy = error instanceof KubeError ? policies[error.code] : undefined;
  const isOver = policy === undefined || tries >= policy.maxTries || elapsedMs >= policy.withinMs;
  return isOver ? undefined : backoffMs(policy.backoff, tries, random);
}

/**
 * Makes a namespace's Secret hold what is wanted besides what it holds: reads it, merges, and writes only where that
 * changes anything. Where another replica was faster, starts over from what that one left: the union wins.
 * @param mayAdd hosts that are added where an intact Secret does not name them; any other host has left it meanwhile,
 *   and stays out
 * @returns the hosts that found no room
 * @throws ForeignSecretError, or KubeError when the API server refuses or keeps failing
 */
export async function writeUnion(
  namespace: string,
  wanted: Wanted,
  parts: WriteParts,
  mayAdd: ReadonlySet<string> = new Set(wanted.keys()),
): Promise<readonly string[]> {
  const { rules, room } = parts;
  const merged = await changeSecret(
    namespace,
    async (present, state) => {
      const welcome =
        state === 'intact'
          ? new Map([...wanted].filter(([host]) => present.hosts.has(host) || mayAdd.has(host)))
          : wanted;
      const merged = mergeContent(present, welcome, rules);
      if (merged.refused.length === 0 || room === undefined) {
        return merged;
      }
      const droppable = await room.droppable(namespace, present);
      const free = droppable.filter(({ host }) => !welcome.has(host));
      return { ...mergeContent(present, welcome, rules, free), reason: 'no-room' as const };
    },
    parts,
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
export async function changeSecret<T extends Change>(
  namespace: string,
  change: (present: Content, state: State) => Promise<T | undefined>,
  parts: ChangeParts,
): Promise<T | undefined> {
  const start = performance.now();
  for (let tries = 1; ; tries += 1) {
    try {
      return await tryChange(namespace, change, parts);
    } catch (error) {
      parts.counted(
        error instanceof KubeError || error instanceof ForeignSecretError ? error.code : 'internal-error',
      );
      const ms = nextTryMs(error, tries, performance.now() - start, Math.random(), parts.isPatient);
      if (ms === undefined) {
        throw error;
      }
      await sleep(ms);
    }
  }
}

async function tryChange<T extends Change>(
  namespace: string,
  change: (present: Content, state: State) => Promise<T | undefined>,
  parts: ChangeParts,
): Promise<T | undefined> {
  const { store, view } = parts;
  const existing = await store.read(namespace);
  if (existing !== undefined) {
    const ours = isOurs(existing);
    view.learn(existing, ours);
    if (!ours) {
      throw new ForeignSecretError(namespace, existing.metadata.name);
    }
  }
  const found = existing === undefined ? noContent : contentOf(existing, parts.log);
  const present = withWaitingHosts(found, view.hostsOf(namespace));
  const state = existing === undefined ? 'absent' : isIntact(factsOf(existing)) ? 'intact' : 'edited';
  const changed = await change(present, state);
  const next = changed && written(changed.content);
  // what somebody else wrote is written once more, though equal, so that it is ours again
  if (next === undefined || (existing !== undefined && state === 'intact' && holds(existing, next))) {
    return changed;
  }
  const stored =
    existing === undefined ? await store.create(namespace, next) : await store.update(existing, next);
  parts.counted(existing === undefined ? 'created' : 'updated');
  view.stored(stored);
  reportDropped(namespace, changed, parts);
  return changed;
}

/** Hosts in one line of the log, which shows so many in full: a host has at most 128 characters. */
const hostsPerLine = 50;

/** No host leaves without a trace. */
function reportDropped(namespace: string, change: Change | undefined, parts: ChangeParts): void {
  const { dropped = [], reason } = change ?? {};
  if (dropped.length === 0 || reason === undefined) {
    return;
  }
  for (let from = 0; from < dropped.length; from += hostsPerLine) {
    const hosts = dropped.slice(from, from + hostsPerLine);
    parts.log.warn({ namespace, reason, hosts }, 'hosts dropped from the pull Secret');
  }
  parts.dropped?.(namespace, dropped, reason);
}

/** Whether a Secret of the program's name is managed: see {@link ownsSecret}. */
export function isOurs(secret: SecretObject): boolean {
  return ownsSecret(factsOf(secret));
}

function factsOf({ type = '', metadata: { labels }, owners }: SecretObject) {
  return { type, labels, owners };
}

/**
 * Adds the hosts that a namespace's Secret had before it was deleted, replaced or edited: they wait for their tokens again.
 * They come first, so that hosts that another writer added cannot push them out.
 */
function withWaitingHosts(content: Content, before: HostLives): Content {
  if ([...before.keys()].every((host) => content.hosts.has(host))) {
    return content;
  }
  return { ...content, hosts: withWaiting(content.hosts, before) };
}

function contentOf({ metadata, data }: SecretObject, log: Log) {
  const encoded = data?.[dockerConfigKey];
  const json = encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString();
  const { content, malformed } = readContent(json, metadata.annotations?.[hostsAnnotation]);
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
  create(namespace: string, content: Written): Promise<SecretObject>;
  /** Changes the Secret in place; `conflict` where it is no longer the one that was read. */
  update(read: SecretObject, content: Written): Promise<SecretObject>;
}

/**
 * @param name the Secret's name in every namespace
 * @param instance tells this process from other replicas: the race of two creators is caught only because they are
 *   two field managers that do not force (an apply with a resourceVersion creates where there is nothing)
 */
export function secretStore(api: SecretApi, name: string, instance: string): SecretStore {
  const object = (metadata: SecretObject['metadata'], content: Written): SecretObject => ({
    metadata: { ...metadata, labels: content.labels, annotations: content.annotations },
    type: content.type,
    data: content.data,
  });
  return {
    read: (namespace) => api.read(namespace, name),
    create: (namespace, content) =>
      api.apply(object({ namespace, name }, content), {
        fieldManager: instanceFieldManager(instance),
        force: false,
      }),
    update: ({ metadata: { namespace, uid, resourceVersion } }, content) =>
      api.apply(
        object(
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
