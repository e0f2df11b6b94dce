import type { Registry } from '../ecr/registry.ts';
import type { Namespace } from '../kube/namespaces.ts';
import type { ServiceAccount } from '../kube/service-accounts.ts';
import { type CachedSecret, isBlockingSecret } from '../pull-secrets/cached-secret.ts';
import { matchesAny } from '../util/glob.ts';
import type { ProvisioningSettings } from './provisioning-settings.ts';

/** What is known of one namespace. */
export interface ObservedNamespace {
  readonly name: string;
  /** Undefined: not among those that the selector of labels chooses. */
  readonly namespace: Namespace | undefined;
  /** Undefined: there is none. */
  readonly secret: Pick<CachedSecret, 'isManaged' | 'isOptedOut' | 'hosts'> | undefined;
  readonly serviceAccounts: readonly ServiceAccount[];
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

type UnselectedReason = Extract<Action, { kind: 'unrefer' }>['reason'];

/**
 * What a namespace lacks. A namespace that is being deleted or is excluded is left as it is; one that is no longer
 * selected loses the references that we added, and keeps its Secret: pods may be using it. One that only its name can
 * select (kube-system, say) is not selected without it.
 */
export function planActions(observed: ObservedNamespace, settings: ProvisioningSettings): Action[] {
  if (observed.namespace?.isTerminating === true || matchesAny(settings.excludedNamespaces, observed.name)) {
    return [];
  }
  const unselected = findUnselectedReason(observed, settings);
  const secret = unselected === undefined ? planSecretActions(observed, settings) : [];
  return [
    ...secret,
    ...observed.serviceAccounts.flatMap((account) =>
      planServiceAccountActions(account, unselected, settings),
    ),
  ];
}

/** Whether a namespace is one that the settings choose. */
export function isSelected(namespace: Namespace, settings: ProvisioningSettings): boolean {
  const { name, isTerminating } = namespace;
  return (
    !isTerminating &&
    !matchesAny(settings.excludedNamespaces, name) &&
    (!matchesAny(settings.explicitOnlyNamespaces, name) || settings.namespaces.includes(name)) &&
    (settings.namespaces.length === 0 || matchesAny(settings.namespaces, name))
  );
}

function findUnselectedReason(
  { namespace }: ObservedNamespace,
  settings: ProvisioningSettings,
): UnselectedReason | undefined {
  if (settings.registries.length === 0) {
    return 'mode-off';
  }
  return namespace !== undefined && isSelected(namespace, settings) ? undefined : 'namespace-not-selected';
}

/** Hosts that the Secret names are renewed, and those that wait for a token are filled, by others. */
function planSecretActions({ secret }: ObservedNamespace, { registries }: ProvisioningSettings): Action[] {
  if (secret === undefined) {
    return [{ kind: 'ensure', registries, reason: 'no-secret' }];
  }
  if (!secret.isManaged) {
    return isBlockingSecret(secret) ? [{ kind: 'ensure', registries, reason: 'foreign-secret' }] : [];
  }
  const missing = registries.filter(({ host }) => !secret.hosts.has(host));
  return missing.length === 0 ? [] : [{ kind: 'ensure', registries: missing, reason: 'host-missing' }];
}

function planServiceAccountActions(
  { name, managedReference, imagePullSecrets }: ServiceAccount,
  unselected: UnselectedReason | undefined,
  { serviceAccounts, secretName }: ProvisioningSettings,
): Action[] {
  const why = unselected ?? (matchesAny(serviceAccounts, name) ? undefined : 'account-not-selected');
  if (why !== undefined) {
    // one to another Secret is that of another installation
    return managedReference === secretName ? [{ kind: 'unrefer', serviceAccount: name, reason: why }] : [];
  }
  if (managedReference !== undefined && managedReference !== secretName) {
    return [{ kind: 'refer', serviceAccount: name, reason: 'other-secret' }];
  }
  return imagePullSecrets.includes(secretName)
    ? []
    : [{ kind: 'refer', serviceAccount: name, reason: 'no-reference' }];
}
