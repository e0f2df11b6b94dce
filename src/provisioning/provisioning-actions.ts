import type { Registry } from '../ecr/registry.ts';
import { KubeError } from '../kube/errors.ts';
import { addReference, type Referred, removeReference } from '../kube/service-account-references.ts';
import type { ServiceAccountApi } from '../kube/service-accounts.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { SecretView } from '../pull-secrets/secret-cache.ts';
import { isGone, type Shortfall } from '../pull-secrets/unavailable-host.ts';
import type { Log } from '../telemetry/log.ts';
import { patientLimit } from '../util/slot-limit.ts';
import type { World } from './cluster-cache.ts';
import type { Action } from './provisioning-plan.ts';
import type { Settings } from './provisioning-settings.ts';

export interface ActParts {
  readonly settings: Settings;
  readonly world: World;
  readonly view: Pick<SecretView, 'get'>;
  readonly secrets: Pick<PullSecrets, 'ensure'>;
  readonly accounts: ServiceAccountApi;
  readonly log: Log;
}

/** What an action came to: done, or what to tell of the failure. */
type Outcome = { readonly done: true } | { readonly done: false; readonly why: Record<string, unknown> };

/** Does one action. Never rejects. */
export type Actor = (namespace: string, action: Action) => Promise<Outcome>;

/**
 * A call takes milliseconds, and the API server has others to serve; a hung ECR must not keep references waiting, and a
 * namespace whose writes hang no other.
 */
const slots = { concurrency: 8, patienceMs: 3_000, maxDetached: 64 };

const done: Outcome = { done: true };

export function actor(parts: ActParts): Actor {
  const secrets = patientLimit(slots);
  const references = patientLimit(slots);
  return (namespace, action) =>
    action.kind === 'ensure'
      ? secrets.run(() => provide(namespace, action.registries, action.reason, parts))
      : references.run(() => change(namespace, action, parts));
}

async function provide(
  namespace: string,
  registries: readonly Registry[],
  reason: string,
  { secrets, view, world, log }: ActParts,
): Promise<Outcome> {
  const missing = await secrets.ensure(namespace, registries);
  // a host that is named in the Secret is filled in later, and renewed, by others
  const isNamed = ({ host }: Pick<Shortfall, 'host'>) => {
    const secret = view.get(namespace);
    return secret?.ours === true && secret.hosts.has(host);
  };
  const unnamed = missing.filter((shortfall) => !isNamed(shortfall));
  if (unnamed.some(({ code }) => isGone(code))) {
    world.endNamespace(namespace);
    return done;
  }
  if (unnamed.length > 0) {
    return { done: false, why: { missing: unnamed } };
  }
  const hosts = registries.map(({ host }) => host);
  log.info({ namespace, hosts, reason, ...(missing.length > 0 && { missing }) }, 'pull Secret provided');
  return done;
}

async function change(
  namespace: string,
  { kind, serviceAccount, reason }: Exclude<Action, { kind: 'ensure' }>,
  { accounts, settings, world, log }: ActParts,
): Promise<Outcome> {
  try {
    const { account, changed }: Referred =
      kind === 'refer'
        ? await addReference(accounts, namespace, serviceAccount, settings.secretName)
        : await removeReference(accounts, namespace, serviceAccount);
    if (account === undefined) {
      world.forget(namespace, serviceAccount);
      return done;
    }
    world.learn(account);
    if (changed) {
      log.info(
        { namespace, serviceAccount, reason },
        kind === 'refer' ? 'reference added' : 'reference removed',
      );
    }
    return done;
  } catch (error) {
    if (error instanceof KubeError && isGone(error.code)) {
      world.forget(namespace, serviceAccount);
      return done;
    }
    return { done: false, why: { serviceAccount, err: error } };
  }
}
