// Builds what decides which AWS identity fetches a namespace's tokens, with the watches that the rules need.
import { getDenyingRule, type IdentityResolver } from './ecr/identity.ts';
import { roleAnnotations } from './ecr/identity-facts.ts';
import { IdentityFactsCache } from './ecr/identity-facts-cache.ts';
import { createIdentityResolver, findNeededFacts, type IdentityRule } from './ecr/identity-rules.ts';
import type { Registry } from './ecr/registry.ts';
import type { ClusterConfig } from './kube/client.ts';
import type { KubeError } from './kube/errors.ts';
import type { Informer, InformerPhase } from './kube/informer.ts';
import { listNamespaces, watchNamespaces } from './kube/namespaces.ts';
import type { ObjectError } from './kube/object-error.ts';
import {
  listServiceAccountAnnotations,
  watchServiceAccountAnnotations,
} from './kube/service-account-annotations.ts';

/**
 * How long a pod waits for the labels of its namespace or for its ServiceAccount, in ms. A watch shows a new namespace within
 * milliseconds, and the first pod often follows at once.
 */
const maxFactWaitMs = 1_000;

interface WatchHandlers {
  /** Called with the namespace of each change of what the rules need, or without one if every namespace may be concerned. */
  onChange(namespace?: string): void;
  /** Called for each failure of a list or a watch, which is then retried. */
  onError(error: KubeError, phase: InformerPhase): void;
  /** Called for each object that cannot be parsed. */
  onObjectError(error: ObjectError): void;
  /** Returns the delay after the given number of consecutive failures, in ms; the default of the watches if not given. */
  backoff?(failures: number): number;
}

/** Decides about identities. */
export interface Identities {
  readonly resolve: IdentityResolver;
  /** Returns the path of the rule that denies a namespace the tokens of a registry; undefined if none does. */
  findDenyingRule(namespace: string, registry: Registry): string | undefined;
  /** Whether it is not known yet if a rule denies it, because the labels of the namespace are not known. */
  isUndecided(namespace: string, registry: Registry): boolean;
  /** Resolves when it is known which identity applies, or after a second if the API server does not say. */
  waitUntilKnown(namespace: string, registry: Registry): Promise<void>;
  /** When the facts behind a namespace's identities last changed, in ms since the epoch; undefined: they did not. */
  changedAt(namespace: string): number | undefined;
  /** Increases with every change, so that callers can detect changes. */
  readonly changeCount: number;
  /**
   * Reads once what the rules need, for commands that end. If aborted, it resolves with less.
   * @throws {KubeError}
   */
  load(signal: AbortSignal): Promise<void>;
  /** Watches what the rules need. */
  watch(handlers: WatchHandlers): { start(): void; stop(): Promise<void> };
}

/** @param now the wall clock in ms */
export function createIdentities(
  rules: readonly IdentityRule[],
  cluster: ClusterConfig,
  now: () => number,
): Identities {
  const needed = findNeededFacts(rules);
  const needsLabels = needed.labelKeys.length > 0;
  const selection = { selector: '', labelKeys: new Set(needed.labelKeys) };
  const annotationKeys = new Set<string>(roleAnnotations);
  let onChange: WatchHandlers['onChange'] = () => undefined;
  const facts = new IdentityFactsCache(now, (namespace) => onChange(namespace));
  const resolve = createIdentityResolver(rules, facts);

  const watchLabels = (handlers: WatchHandlers): Informer =>
    watchNamespaces({
      ...handlers,
      config: cluster,
      selection,
      handler: {
        replace: (items) => facts.replaceNamespaces(items),
        set: (item) => facts.setNamespace(item),
        remove: ({ name }) => facts.removeNamespace(name),
        reject: ({ name }) => facts.removeNamespace(name),
      },
    });
  const watchServiceAccounts = (name: string, handlers: WatchHandlers): Informer =>
    watchServiceAccountAnnotations({
      ...handlers,
      config: cluster,
      name,
      keys: annotationKeys,
      handler: {
        replace: (items) => facts.replaceServiceAccounts(name, items),
        set: (item) => facts.setServiceAccount(item),
        remove: ({ namespace }) => facts.removeServiceAccount(namespace, name),
        reject: ({ namespace }) => facts.removeServiceAccount(namespace, name),
      },
    });

  return {
    resolve,
    findDenyingRule: (namespace, registry) => getDenyingRule(resolve(namespace, registry)),
    isUndecided: (namespace, registry) => {
      const decision = resolve(namespace, registry);
      return decision.access === 'unresolved' && decision.code === 'namespace-unknown';
    },
    waitUntilKnown: (namespace, registry) =>
      facts.waitUntil(namespace, () => !isUnknown(resolve(namespace, registry)), maxFactWaitMs),
    changedAt: (namespace) => facts.changedAt(namespace),
    get changeCount() {
      return facts.changeCount;
    },
    load: async (signal) => {
      try {
        if (needsLabels) {
          facts.replaceNamespaces(await listNamespaces(cluster, selection, signal));
        }
        for (const name of needed.serviceAccounts) {
          const accounts = await listServiceAccountAnnotations(cluster, name, annotationKeys, signal);
          facts.replaceServiceAccounts(name, accounts);
        }
      } catch (error) {
        if (!signal.aborted) {
          throw error;
        }
      }
    },
    watch: (handlers) => {
      onChange = handlers.onChange;
      const watches = [
        ...(needsLabels ? [watchLabels(handlers)] : []),
        ...needed.serviceAccounts.map((name) => watchServiceAccounts(name, handlers)),
      ];
      return {
        start: () => {
          for (const watch of watches) {
            void watch.start();
          }
        },
        stop: async () => {
          await Promise.all(watches.map((watch) => watch.stop()));
        },
      };
    },
  };
}

/** Whether a watch is going to say which identity applies. */
function isUnknown(decision: ReturnType<IdentityResolver>): boolean {
  return (
    decision.access === 'unresolved' &&
    (decision.code === 'namespace-unknown' || decision.code === 'service-account-unknown')
  );
}
