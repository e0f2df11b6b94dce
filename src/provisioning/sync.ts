import pLimit from 'p-limit';
import { parseEcrHosts, type Registry } from '../ecr/registry.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { addReference } from '../kube/service-account-references.ts';
import {
  createServiceAccountApi,
  listServiceAccounts,
  type ServiceAccountApi,
} from '../kube/service-accounts.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import { matchesAny } from '../util/glob.ts';
import { isSelected } from './provisioning-plan.ts';
import { isPattern, type ProvisioningSettings } from './provisioning-settings.ts';
import { type Failure, failureOf, hostFailure, type NamespaceResult, type SyncResult } from './result.ts';

export interface SyncParts {
  readonly config: ClusterConfig;
  readonly settings: ProvisioningSettings;
  readonly secrets: Pick<PullSecrets, 'refreshCache' | 'renew'>;
  /** The view that `secrets` writes into. */
  readonly secretCache: Pick<SecretCache, 'get'>;
  /** Called after each namespace. */
  progress(done: number, total: number, failed: number): void;
  /** Ends it, as a failure. */
  readonly signal: AbortSignal;
}

const namespacesAtOnce = 8;

/**
 * Brings the Secrets and references of the selected namespaces up to date, once: for a schedule, or by hand. Each
 * namespace is alone, a failure of one is told in its result.
 * @throws KubeError where the namespaces cannot be listed
 */
export async function sync(parts: SyncParts): Promise<SyncResult> {
  const names = await namespacesOf(parts);
  const limit = pLimit(namespacesAtOnce);
  const accounts = createServiceAccountApi(parts.config);
  const ended = { all: 0, failed: 0 };
  const namespaces = await Promise.all(
    names.map((namespace) =>
      limit(async () => {
        const result = await syncNamespace(namespace, accounts, parts);
        ended.all += 1;
        ended.failed += result.failures.length > 0 ? 1 : 0;
        parts.progress(ended.all, names.length, ended.failed);
        return result;
      }),
    ),
  );
  return { namespaces, failed: ended.failed };
}

/** Namespaces that are named take no right to list them. The settings exclude none of these: {@link syncSettingsOf}. */
async function namespacesOf({ config, settings, signal }: SyncParts): Promise<string[]> {
  const { namespaces, labelSelector } = settings;
  if (labelSelector === '' && namespaces.length > 0 && !namespaces.some(isPattern)) {
    return [...new Set(namespaces)];
  }
  const listed = await listNamespaces(config, labelSelector, signal);
  return listed.filter((namespace) => isSelected(namespace, settings)).map(({ name }) => name);
}

async function syncNamespace(
  namespace: string,
  accounts: ServiceAccountApi,
  parts: SyncParts,
): Promise<NamespaceResult> {
  const { secret, failures } = await syncSecret(namespace, parts);
  const references = await syncReferences(namespace, accounts, parts);
  return {
    namespace,
    secret,
    serviceAccounts: references.map(({ name, reference }) => ({ name, reference })),
    failures: [...failures, ...references.flatMap(({ failure }) => failure ?? [])],
  };
}

async function syncSecret(
  namespace: string,
  { secrets, secretCache, settings }: SyncParts,
): Promise<Pick<NamespaceResult, 'secret' | 'failures'>> {
  try {
    const before = await secrets.refreshCache(namespace);
    const unavailableHosts = await secrets.renew(namespace, union(settings.registries, before?.hosts.keys()));
    const changed = secretCache.get(namespace)?.resourceVersion !== before?.resourceVersion;
    return unavailableHosts.length > 0
      ? { secret: 'failed', failures: unavailableHosts.map(hostFailure) }
      : { secret: changed ? 'updated' : 'unchanged', failures: [] };
  } catch (error) {
    return { secret: 'failed', failures: [failureOf(`Secret ${settings.secretName}`, error)] };
  }
}

/** What is wanted, and the hosts that pods brought into the Secret. */
function union(wanted: readonly Registry[], stored: Iterable<string> = []): Registry[] {
  const hosts = new Set(wanted.map(({ host }) => host));
  return [...wanted, ...parseEcrHosts(stored).filter(({ host }) => !hosts.has(host))];
}

type Reference = NamespaceResult['serviceAccounts'][number] & { readonly failure?: Failure };

async function syncReferences(
  namespace: string,
  accounts: ServiceAccountApi,
  parts: SyncParts,
): Promise<Reference[]> {
  const { serviceAccounts } = parts.settings;
  const references: Reference[] = [];
  try {
    const names = serviceAccounts.some(isPattern) ? await matching(namespace, parts) : serviceAccounts;
    for (const name of new Set(names)) {
      references.push(await syncReference(namespace, name, accounts, parts.settings.secretName));
    }
  } catch (error) {
    const failure = failureOf('ServiceAccounts', error);
    references.push({ name: serviceAccounts.join(','), reference: 'failed', failure });
  }
  return references;
}

async function matching(namespace: string, { config, settings, signal }: SyncParts): Promise<string[]> {
  const { serviceAccounts } = settings;
  const listed = (await listServiceAccounts(config, { namespace }, signal)).map(({ name }) => name);
  const named = serviceAccounts.filter((name) => !isPattern(name));
  return [...named, ...listed.filter((name) => matchesAny(serviceAccounts, name))];
}

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
