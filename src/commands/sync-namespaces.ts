// Brings the Secrets and ServiceAccount references of the selected namespaces up to date, once.
import pLimit from 'p-limit';
import { type Registry, type RegistryResolver, resolveRegistries } from '../ecr/registry.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { addReference } from '../kube/service-account-references.ts';
import {
  createServiceAccountApi,
  listServiceAccounts,
  type ServiceAccountApi,
} from '../kube/service-accounts.ts';
import { isSelected } from '../provisioning/provisioning-plan.ts';
import { isPattern, type ProvisioningSettings } from '../provisioning/provisioning-settings.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { MetadataRollout } from '../pull-secrets/metadata-rollout.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import { isDenied as isDeniedHost } from '../pull-secrets/unavailable-host.ts';
import { matchesAny } from '../util/glob.ts';
import { type CallsInFlight, finishWork, type Interrupt } from './interrupt.ts';
import { type Failure, failureOf, hostFailure, type NamespaceResult, type SyncResult } from './results.ts';

export interface SyncDependencies {
  readonly config: ClusterConfig;
  readonly settings: ProvisioningSettings;
  /** The flag or key that the names of namespaces are from, for messages. */
  readonly namesFrom: string;
  readonly secrets: Pick<PullSecrets, 'refreshCache' | 'renew'>;
  /** The cache that `secrets` updates. */
  readonly secretCache: Pick<SecretCache, 'get'>;
  /** Changes the labels and annotations of Secrets that needed no other write. */
  readonly metadataRollout: Pick<MetadataRollout, 'run'>;
  readonly resolveRegistry: RegistryResolver;
  /** Whether a rule denies a namespace the tokens of a registry. */
  isDenied(namespace: string, registry: Registry): boolean;
  /** Called after each namespace. */
  progress(done: number, total: number, failed: number): void;
  readonly interrupt: Interrupt;
  readonly calls: CallsInFlight;
}

const maxConcurrentNamespaces = 8;

/**
 * Brings the Secrets and references of the selected namespaces up to date. A failure in one namespace is part of its result
 * and does not affect the others.
 * @throws {KubeError} where the namespaces cannot be listed
 */
export async function syncNamespaces(dependencies: SyncDependencies): Promise<SyncResult> {
  const { settings, metadataRollout, interrupt, calls, progress } = dependencies;
  const selection = await selectNamespaces(dependencies);
  const accounts = createServiceAccountApi(dependencies.config);
  const results = new Map(selection.names.map((name) => [name, notStarted(name, settings)]));
  const missing: string[] = [];
  const limit = pLimit(maxConcurrentNamespaces);
  let done = 0;
  let failed = 0;
  const syncOne = async (namespace: string) => {
    if (interrupt.signal.aborted) {
      return;
    }
    const found = await syncNamespace(namespace, accounts, dependencies, (result) =>
      results.set(namespace, result),
    );
    if (!found) {
      results.delete(namespace);
      missing.push(namespace);
    }
    done += 1;
    failed += hasFailed(results.get(namespace)) ? 1 : 0;
    // The report of an interrupted command begins on a line of its own.
    if (!interrupt.signal.aborted) {
      progress(done, selection.names.length, failed);
    }
  };
  const syncAll = async () => {
    await Promise.all(selection.names.map((namespace) => limit(() => syncOne(namespace))));
    for (const [namespace, error] of await metadataRollout.run(interrupt.signal)) {
      const result = results.get(namespace) ?? notStarted(namespace, settings);
      const failure = failureOf(`labels and annotations of Secret ${settings.secretName}`, error);
      results.set(namespace, { ...result, secret: 'failed', failures: [...result.failures, failure] });
    }
  };
  await finishWork(syncAll(), interrupt.signal, calls);
  const namespaces = [...results.values()];
  const failures = [...selection.unmatched, ...missing].map((name) => selectsNothing(name, dependencies));
  return {
    namespaces,
    failed: namespaces.filter(hasFailed).length,
    ...(failures.length > 0 && { failures }),
    ...(interrupt.received !== undefined && { interrupted: interrupt.received }),
  };
}

function hasFailed(result: NamespaceResult | undefined): boolean {
  return (result?.failures.length ?? 0) > 0;
}

interface Selection {
  readonly names: readonly string[];
  /** Names and patterns that select none of them. */
  readonly unmatched: readonly string[];
}

/** Namespaces that are named need no permission to list namespaces. They are not excluded: `resolveSyncSettings`. */
async function selectNamespaces({ config, settings, interrupt }: SyncDependencies): Promise<Selection> {
  const { namespaces, labelSelector } = settings;
  const given = [...new Set(namespaces)];
  if (labelSelector === '' && given.length > 0 && !given.some(isPattern)) {
    return { names: given, unmatched: [] };
  }
  try {
    const listed = await listNamespaces(config, { selector: labelSelector }, interrupt.signal);
    const names = listed.filter((namespace) => isSelected(namespace, settings)).map(({ name }) => name);
    const unmatched = given.filter((pattern) => !names.some((name) => matchesAny([pattern], name)));
    return { names, unmatched };
  } catch (error) {
    if (interrupt.signal.aborted) {
      return { names: [], unmatched: [] };
    }
    throw error;
  }
}

function selectsNothing(name: string, { namesFrom }: SyncDependencies): Failure {
  const what = `${namesFrom} ${name}`;
  return { what, code: 'no-namespace', text: `${what} selects no namespace` };
}

function notStarted(namespace: string, { serviceAccounts }: ProvisioningSettings): NamespaceResult {
  const references = serviceAccounts.map((name) => ({ name, reference: 'interrupted' as const }));
  return { namespace, secret: 'interrupted', serviceAccounts: references, failures: [] };
}

/**
 * Syncs one namespace. After an interrupt, no further step is started.
 * @param onResult receives the result of each step together with those before it
 * @returns false for a namespace that was given by name and does not exist
 */
async function syncNamespace(
  namespace: string,
  accounts: ServiceAccountApi,
  dependencies: SyncDependencies,
  onResult: (result: NamespaceResult) => void,
): Promise<boolean> {
  const { settings, interrupt } = dependencies;
  const secret = await syncSecret(namespace, dependencies);
  if (secret === undefined) {
    return true;
  }
  if (settings.namespaces.includes(namespace) && secret.failures.some(({ code }) => code === 'not-found')) {
    return false;
  }
  if (secret.secret === 'denied') {
    onResult({ namespace, ...secret, serviceAccounts: [] });
    return true;
  }
  let result = { ...notStarted(namespace, settings), ...secret };
  onResult(result);
  if (interrupt.signal.aborted) {
    return true;
  }
  const { names, failure } = await accountNames(namespace, dependencies);
  if (failure !== undefined) {
    const name = settings.serviceAccounts.join(',');
    const serviceAccounts = [{ name, reference: 'failed' as const }];
    onResult({ ...result, serviceAccounts, failures: [...result.failures, failure] });
    return true;
  }
  const pending = names.map((name) => ({ name, reference: 'interrupted' as const }));
  result = { ...result, serviceAccounts: pending };
  for (const [index, name] of names.entries()) {
    if (interrupt.signal.aborted) {
      break;
    }
    const { failure: ofReference, ...reference } = await syncReference(
      namespace,
      name,
      accounts,
      settings.secretName,
    );
    result = {
      ...result,
      serviceAccounts: result.serviceAccounts.with(index, reference),
      failures: [...result.failures, ...(ofReference === undefined ? [] : [ofReference])],
    };
    onResult(result);
  }
  onResult(result);
  return true;
}

/** @returns undefined where the command was interrupted before anything was written */
async function syncSecret(
  namespace: string,
  { secrets, secretCache, resolveRegistry, settings, isDenied, interrupt }: SyncDependencies,
): Promise<Pick<NamespaceResult, 'secret' | 'failures'> | undefined> {
  try {
    const before = await secrets.refreshCache(namespace);
    if (interrupt.signal.aborted) {
      return undefined;
    }
    const stored = resolveRegistries(before?.hosts.keys() ?? [], resolveRegistry);
    const allowed = settings.registries.filter((registry) => !isDenied(namespace, registry));
    const wanted = union(allowed, stored);
    // Stored hosts that are denied now are removed by the write.
    const unavailableHosts = wanted.length === 0 ? [] : await secrets.renew(namespace, wanted);
    const failedHosts = unavailableHosts.filter((host) => !isDeniedHost(host));
    if (failedHosts.length > 0) {
      return { secret: 'failed', failures: failedHosts.map(hostFailure) };
    }
    if (allowed.length === 0) {
      return { secret: 'denied', failures: [] };
    }
    const changed = secretCache.get(namespace)?.resourceVersion !== before?.resourceVersion;
    return { secret: changed ? 'updated' : 'unchanged', failures: [] };
  } catch (error) {
    return { secret: 'failed', failures: [failureOf(`Secret ${settings.secretName}`, error)] };
  }
}

/** The registries that are wanted, and the hosts that pods added to the Secret. */
function union(wanted: readonly Registry[], stored: readonly Registry[]): Registry[] {
  const hosts = new Set(wanted.map(({ host }) => host));
  return [...wanted, ...stored.filter(({ host }) => !hosts.has(host))];
}

/** ServiceAccounts that are named need no permission to list ServiceAccounts. */
async function accountNames(
  namespace: string,
  { config, settings: { serviceAccounts }, interrupt }: SyncDependencies,
): Promise<{ readonly names: readonly string[]; readonly failure?: Failure }> {
  if (!serviceAccounts.some(isPattern)) {
    return { names: [...new Set(serviceAccounts)] };
  }
  try {
    const listed = (await listServiceAccounts(config, { namespace }, interrupt.signal)).map(
      ({ name }) => name,
    );
    const named = serviceAccounts.filter((name) => !isPattern(name));
    const matching = listed.filter((name) => matchesAny(serviceAccounts, name));
    return { names: [...new Set([...named, ...matching])] };
  } catch (error) {
    return interrupt.signal.aborted
      ? { names: serviceAccounts }
      : { names: [], failure: failureOf('ServiceAccounts', error) };
  }
}

type Reference = NamespaceResult['serviceAccounts'][number] & { readonly failure?: Failure };

async function syncReference(
  namespace: string,
  name: string,
  accounts: ServiceAccountApi,
  secret: string,
): Promise<Reference> {
  const what = `ServiceAccount ${name}`;
  try {
    const { serviceAccount, changed } = await addReference(accounts, namespace, name, secret);
    if (serviceAccount === undefined) {
      const failure = { what, code: 'not-found', text: 'there is no such ServiceAccount' };
      return { name, reference: 'failed', failure };
    }
    return { name, reference: changed ? 'added' : 'unchanged' };
  } catch (error) {
    return { name, reference: 'failed', failure: failureOf(what, error) };
  }
}
