// Executes planned actions: ensures the pull Secret, and adds or removes references in ServiceAccounts.
import type { Registry } from '../ecr/registry.ts';
import { KubeError } from '../kube/errors.ts';
import { addReference, type ReferenceResult, removeReference } from '../kube/service-account-references.ts';
import type { ServiceAccountApi } from '../kube/service-accounts.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import { isGone, type UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import type { Log } from '../telemetry/log.ts';
import { createSlotLimit } from '../util/slot-limit.ts';
import type { ClusterCache } from './cluster-cache.ts';
import type { Action } from './provisioning-plan.ts';
import type { ProvisioningSettings } from './provisioning-settings.ts';

export interface ActionDependencies {
  readonly settings: ProvisioningSettings;
  readonly cache: ClusterCache;
  readonly secretCache: Pick<SecretCache, 'get'>;
  readonly secrets: Pick<PullSecrets, 'ensure'>;
  readonly serviceAccountApi: ServiceAccountApi;
  readonly log: Log;
}

/** The outcome of an action, with the log fields of a failure. */
type Outcome =
  | { readonly done: true }
  | { readonly done: false; readonly failureFields: Record<string, unknown> };

/** Executes one action. */
export type ExecuteAction = (namespace: string, action: Action) => Promise<Outcome>;

/**
 * A call takes milliseconds, so a low concurrency is enough and spares the API server. Secrets and references have separate
 * slots, so that a slow ECR does not delay references. Slow calls give up their slot, so that they do not delay other namespaces.
 */
const slotLimitOptions = { concurrency: 8, maxWaitMs: 3_000, maxDetached: 64 };

const doneOutcome: Outcome = { done: true };

export function createActionExecutor(dependencies: ActionDependencies): ExecuteAction {
  const secretSlots = createSlotLimit(slotLimitOptions);
  const referenceSlots = createSlotLimit(slotLimitOptions);
  return (namespace, action) =>
    action.kind === 'ensure-secret'
      ? secretSlots.run(() => ensureSecret(namespace, action.registries, action.reason, dependencies))
      : referenceSlots.run(() => updateReference(namespace, action, dependencies));
}

async function ensureSecret(
  namespace: string,
  registries: readonly Registry[],
  reason: string,
  { secrets, secretCache, cache, log }: ActionDependencies,
): Promise<Outcome> {
  const missing = await secrets.ensure(namespace, registries);
  // renewal fetches the missing tokens of hosts that are in the Secret
  const isInSecret = ({ host }: Pick<UnavailableHost, 'host'>) => {
    const secret = secretCache.get(namespace);
    return secret?.isManaged === true && secret.hosts.has(host);
  };
  const unstoredHosts = missing.filter((host) => !isInSecret(host));
  if (unstoredHosts.some(({ code }) => isGone(code))) {
    cache.markTerminating(namespace);
    return doneOutcome;
  }
  if (unstoredHosts.length > 0) {
    return { done: false, failureFields: { missing: unstoredHosts } };
  }
  const hosts = registries.map(({ host }) => host);
  log.info({ namespace, hosts, reason, ...(missing.length > 0 && { missing }) }, 'pull Secret provisioned');
  return doneOutcome;
}

async function updateReference(
  namespace: string,
  { kind, serviceAccount, reason }: Exclude<Action, { kind: 'ensure-secret' }>,
  { serviceAccountApi, settings, cache, log }: ActionDependencies,
): Promise<Outcome> {
  try {
    const { serviceAccount: account, changed }: ReferenceResult =
      kind === 'add-reference'
        ? await addReference(serviceAccountApi, namespace, serviceAccount, settings.secretName)
        : await removeReference(serviceAccountApi, namespace, serviceAccount);
    if (account === undefined) {
      cache.removeServiceAccount(namespace, serviceAccount);
      return doneOutcome;
    }
    cache.setServiceAccount(account);
    if (changed && kind === 'add-reference') {
      log.info({ namespace, serviceAccount, reason }, 'reference added');
    } else if (changed) {
      log.info({ namespace, serviceAccount, reason }, 'reference removed');
    }
    return doneOutcome;
  } catch (error) {
    if (error instanceof KubeError && isGone(error.code)) {
      cache.removeServiceAccount(namespace, serviceAccount);
      return doneOutcome;
    }
    return { done: false, failureFields: { serviceAccount, err: error } };
  }
}
