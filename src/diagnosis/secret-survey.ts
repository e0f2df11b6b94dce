// Reads the state of all pull Secrets: their metadata, the errors that Events report, and the identities of their hosts.
import pLimit from 'p-limit';
import type { Config } from '../config/schema.ts';
import type { IdentityResolver } from '../ecr/identity.ts';
import { createRegistryResolver, type RegistryResolver } from '../ecr/registry.ts';
import { createCachedRegistryResolver } from '../ecr/registry-cache.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { visitWarnings } from '../kube/event-list.ts';
import { visitSecretMetadata } from '../kube/secret-metadata.ts';
import { secretType } from '../pull-secrets/ownership.ts';
import { matchesAny } from '../util/glob.ts';
import { createHostIdentities, readIdentities } from './identity-reader.ts';
import { type Gap, readOptional } from './read-gaps.ts';
import {
  addReportedHosts,
  classifySecret,
  type HostState,
  type HostStatus,
  hostStates,
  type SecretRules,
  type SecretStatus,
} from './secret-states.ts';
import { TokenErrors } from './token-errors.ts';

/** Which namespaces to read. */
export interface SurveyScope {
  /** Names of namespaces that are read one by one, so that rights in them suffice; undefined: all namespaces are listed. */
  readonly names: readonly string[] | undefined;
  /** Whether a listed namespace is kept. */
  includes(namespace: string): boolean;
}

export const allNamespaces: SurveyScope = { names: undefined, includes: () => true };

/** The pull Secrets at one moment. */
export interface SecretSurvey {
  /** When it was read, in ms since the epoch. */
  readonly now: number;
  readonly secrets: ReadonlyMap<string, SecretStatus>;
  /** Number of hosts by state, including those that are not kept. */
  readonly counts: Readonly<Record<HostState, number>>;
  /** Number of hosts that were counted and are not in `secrets`, because there are too many. */
  readonly omittedHosts: number;
  readonly errors: Pick<TokenErrors, 'find' | 'findFull'>;
  readonly resolveIdentity: IdentityResolver;
  readonly resolveRegistry: RegistryResolver;
  /** What could not be read in addition to the Secrets. */
  readonly gaps: readonly Gap[];
}

/**
 * Maximum number of hosts that are kept. A tenant can name 250 in each of its namespaces. Above `all`, only hosts that are not
 * valid are kept, up to `withProblems`.
 */
const maxHosts = { all: 100_000, withProblems: 200_000 };

/** How long the list of Events may take, in ms. A cluster can have very many, and they are not needed for anything else. */
const eventsTimeoutMs = 3_000;

/** Namespaces that are read at the same time. */
const concurrency = 8;

/**
 * Reads the pull Secrets of the namespaces in the scope. Rights on Secrets of the program's name suffice; without further ones, it
 * has gaps.
 * @param known the identities of the namespaces in the scope; without it, what decides about them is read in all namespaces
 * @throws {KubeError} if the Secrets cannot be listed
 */
export async function surveySecrets(
  { config, cluster }: { readonly config: Config; readonly cluster: ClusterConfig },
  scope: SurveyScope,
  signal: AbortSignal,
  known?: IdentityResolver,
): Promise<SecretSurvey> {
  const { secretName } = config;
  const gaps: Gap[] = [];
  const resolveRegistry = createCachedRegistryResolver(createRegistryResolver(config));
  const errors = new TokenErrors();
  const otherTypes = new Set<string>();
  const visitEach = (visit: (namespace: string | undefined) => Promise<void>) => {
    const limit = pLimit(concurrency);
    return Promise.all((scope.names ?? [undefined]).map((namespace) => limit(visit, namespace)));
  };
  const eventsSignal = AbortSignal.any([signal, AbortSignal.timeout(eventsTimeoutMs)]);
  const [resolveIdentity] = await Promise.all([
    known ?? readIdentities(config, cluster, gaps, signal),
    visitEach((namespace) => {
      const selection = { namespace, otherThanType: secretType };
      const onSecret = (secret: { namespace: string }) => void otherTypes.add(secret.namespace);
      return visitSecretMetadata(cluster, secretName, selection, { onSecret }, signal);
    }),
    readOptional('list events', gaps, () =>
      visitEach((namespace) => {
        const subject = { kind: 'Secret', name: secretName, namespace } as const;
        return visitWarnings(cluster, subject, (event) => errors.add(event), eventsSignal);
      }),
    ),
  ]);
  const now = Date.now();
  const collector = new StatusCollector({
    now,
    freshness: { fraction: config.tokens.freshFraction, floorMs: config.tokens.minimumLife },
    maxHosts: config.secrets.maxHosts,
    resolveRegistry,
    identityOf: createHostIdentities(resolveIdentity, resolveRegistry),
    isExcluded: (namespace) => matchesAny(config.exclude.namespaces, namespace),
    findError: (namespace, host, since) => errors.find(namespace, host, since),
  });
  await visitEach((namespace) =>
    visitSecretMetadata(
      cluster,
      secretName,
      { namespace },
      {
        onSecret: (secret) => {
          if (scope.includes(secret.namespace)) {
            collector.add(classifySecret(secret, otherTypes.has(secret.namespace), collector.rules));
          }
        },
        onInvalid: ({ namespace: of }) => {
          if (scope.includes(of)) {
            collector.add({ ...unreadable, namespace: of });
          }
        },
      },
      signal,
    ),
  );
  for (const [namespace, reported] of errors.entries()) {
    const status = collector.secrets.get(namespace);
    const complete = scope.includes(namespace)
      ? addReportedHosts(namespace, status, reported, collector.rules)
      : undefined;
    if (complete !== undefined) {
      collector.replace(status, complete);
    }
  }
  const { secrets, counts, omittedHosts } = collector;
  return { now, secrets, counts, omittedHosts, errors, resolveIdentity, resolveRegistry, gaps };
}

const unreadable = {
  condition: 'unmanaged',
  detail: 'its metadata cannot be parsed',
  isFull: false,
  hosts: [],
} as const;

/** Keeps what was found, in bounded memory. */
class StatusCollector {
  readonly rules: SecretRules;
  readonly secrets = new Map<string, SecretStatus>();
  readonly counts = Object.fromEntries(hostStates.map((state) => [state, 0])) as Record<HostState, number>;
  omittedHosts = 0;
  #kept = 0;

  constructor(rules: SecretRules) {
    this.rules = rules;
  }

  add(status: SecretStatus): void {
    for (const { state } of status.hosts) {
      this.counts[state] += 1;
    }
    const kept = status.hosts.filter((host) => this.#keep(host));
    this.omittedHosts += status.hosts.length - kept.length;
    this.secrets.set(status.namespace, { ...status, hosts: kept });
  }

  /** Replaces the status of a Secret by one with further hosts at the end. */
  replace(before: SecretStatus | undefined, after: SecretStatus): void {
    const hosts = after.hosts.slice(before?.hosts.length ?? 0);
    for (const { state } of hosts) {
      this.counts[state] += 1;
    }
    this.secrets.set(after.namespace, after);
  }

  #keep({ state }: HostStatus): boolean {
    const isKept = this.#kept < maxHosts.all || (state !== 'valid' && this.#kept < maxHosts.withProblems);
    this.#kept += isKept ? 1 : 0;
    return isKept;
  }
}

/** Reads the pull Secrets of all namespaces, or returns the survey that another group of checks began. */
export type SurveyReader = (
  installation: Parameters<typeof surveySecrets>[0],
  signal: AbortSignal,
) => Promise<SecretSurvey>;

/** Returns a reader that reads once, with the signal of the first caller. All groups of checks have the same deadline. */
export function shareSurvey(): SurveyReader {
  let shared: Promise<SecretSurvey> | undefined;
  return (installation, signal) => {
    shared ??= surveySecrets(installation, allNamespaces, signal);
    return shared;
  };
}
