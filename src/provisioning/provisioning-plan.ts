import type { Registry } from '../ecr/registry.ts';
import type { Namespace } from '../kube/namespaces.ts';
import type { ServiceAccount } from '../kube/service-accounts.ts';
import { isObstacle, type KnownSecret } from '../pull-secrets/cached-secret.ts';
import { matchesAny } from '../util/glob.ts';
import type { Settings } from './provisioning-settings.ts';

/** What is known of one namespace. */
export interface Seen {
  readonly name: string;
  /** Undefined: not among those that the selector of labels chooses. */
  readonly namespace: Namespace | undefined;
  /** Undefined: there is none. */
  readonly secret: Pick<KnownSecret, 'ours' | 'handedOver' | 'hosts'> | undefined;
  readonly accounts: readonly ServiceAccount[];
}

/** Something to do in a namespace, and why. */
export type Action =
  | {
      readonly kind: 'ensure';
      readonly registries: readonly Registry[];
      readonly reason: 'no-secret' | 'host-missing' | 'foreign-secret';
    }
  | {
      readonly kind: 'refer';
      readonly serviceAccount: string;
      readonly reason: 'no-reference' | 'other-secret';
    }
  | {
      readonly kind: 'unrefer';
      readonly serviceAccount: string;
      readonly reason: 'mode-off' | 'namespace-not-selected' | 'account-not-selected';
    };

type Unselected = Extract<Action, { kind: 'unrefer' }>['reason'];

/**
 * What a namespace lacks. A namespace that is being deleted or is excluded is left as it is; one that is no longer
 * selected loses the references that we added, and keeps its Secret: pods may be using it. One that only its name can
 * select (kube-system, say) is not selected without it.
 */
export function planOf(seen: Seen, settings: Settings): Action[] {
  if (seen.namespace?.terminating === true || matchesAny(settings.excluded, seen.name)) {
    return [];
  }
  const unselected = whyUnselected(seen, settings);
  const secret = unselected === undefined ? secretAction(seen, settings) : [];
  return [...secret, ...seen.accounts.flatMap((account) => accountAction(account, unselected, settings))];
}

/** Whether a namespace is one that the settings choose. */
export function isSelected(namespace: Namespace, settings: Settings): boolean {
  const { name, terminating } = namespace;
  return (
    !terminating &&
    !matchesAny(settings.excluded, name) &&
    (!matchesAny(settings.onlyByName, name) || settings.namespaces.includes(name)) &&
    (settings.namespaces.length === 0 || matchesAny(settings.namespaces, name))
  );
}

function whyUnselected({ namespace }: Seen, settings: Settings): Unselected | undefined {
  if (settings.registries.length === 0) {
    return 'mode-off';
  }
  return namespace !== undefined && isSelected(namespace, settings) ? undefined : 'namespace-not-selected';
}

/** Hosts that the Secret names are renewed, and those that wait for a token are filled, by others. */
function secretAction({ secret }: Seen, { registries }: Settings): Action[] {
  if (secret === undefined) {
    return [{ kind: 'ensure', registries, reason: 'no-secret' }];
  }
  if (!secret.ours) {
    return isObstacle(secret) ? [{ kind: 'ensure', registries, reason: 'foreign-secret' }] : [];
  }
  const missing = registries.filter(({ host }) => !secret.hosts.has(host));
  return missing.length === 0 ? [] : [{ kind: 'ensure', registries: missing, reason: 'host-missing' }];
}

function accountAction(
  { name, reference, pullSecrets }: ServiceAccount,
  unselected: Unselected | undefined,
  { serviceAccounts, secretName }: Settings,
): Action[] {
  const why = unselected ?? (matchesAny(serviceAccounts, name) ? undefined : 'account-not-selected');
  if (why !== undefined) {
    // one to another Secret is that of another installation
    return reference === secretName ? [{ kind: 'unrefer', serviceAccount: name, reason: why }] : [];
  }
  if (reference !== undefined && reference !== secretName) {
    return [{ kind: 'refer', serviceAccount: name, reason: 'other-secret' }];
  }
  return pullSecrets.includes(secretName)
    ? []
    : [{ kind: 'refer', serviceAccount: name, reason: 'no-reference' }];
}
