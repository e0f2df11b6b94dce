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

/** What an action came to: done, or what to tell of the failure. */
type Outcome =
  | { readonly done: true }
  | { readonly done: false; readonly failureFields: Record<string, unknown> };

/** Does one action. Never rejects. */
export type ExecuteAction = (namespace: string, action: Action) => Promise<Outcome>;

/**
 * A call takes milliseconds, and the API server has others to serve; a hung ECR must not keep references waiting, and a
 * namespace whose writes hang no other.
 */
const slotLimitOptions = { concurrency: 8, maxWaitMs: 3_000, maxDetached: 64 };

const doneOutcome: Outcome = { done: true };

export function createActionExecutor(dependencies: ActionDependencies): ExecuteAction {
  const secretSlots = createSlotLimit(slotLimitOptions);
  const referenceSlots = createSlotLimit(slotLimitOptions);
  return (namespace, action) =>
    action.kind === 'ensure'
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
  // a host that is named in the Secret is filled in later, and renewed, by others
  const isInSecret = ({ host }: Pick<UnavailableHost, 'host'>) => {
    const secret = secretCache.get(namespace);
    return secret?.isManaged === true && secret.hosts.has(host);
  };
  const unnamedHosts = missing.filter((shortfall) => !isInSecret(shortfall));
  if (unnamedHosts.some(({ code }) => isGone(code))) {
    cache.markTerminating(namespace);
    return doneOutcome;
  }
  if (unnamedHosts.length > 0) {
    return { done: false, failureFields: { missing: unnamedHosts } };
  }
  const hosts = registries.map(({ host }) => host);
  log.info({ namespace, hosts, reason, ...(missing.length > 0 && { missing }) }, 'pull Secret provided');
  return doneOutcome;
}

async function updateReference(
  namespace: string,
  { kind, serviceAccount, reason }: Exclude<Action, { kind: 'ensure' }>,
  { serviceAccountApi, settings, cache, log }: ActionDependencies,
): Promise<Outcome> {
  try {
    const { serviceAccount: account, changed }: ReferenceResult =
      kind === 'refer'
        ? await addReference(serviceAccountApi, namespace, serviceAccount, settings.secretName)
        : await removeReference(serviceAccountApi, namespace, serviceAccount);
    if (account === undefined) {
      cache.removeServiceAccount(namespace, serviceAccount);
      return doneOutcome;
    }
    cache.setServiceAccount(account);
    if (changed) {
      log.info(
        { namespace, serviceAccount, reason },
        kind === 'refer' ? 'reference added' : 'reference removed',
      );
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
