// Plans the actions of provisioning: which Secrets to ensure, and which references to add or remove.
import type { Registry } from '../ecr/registry.ts';
import type { Namespace } from '../kube/namespaces.ts';
import type { ServiceAccount } from '../kube/service-accounts.ts';
import { type CachedSecret, isBlockingSecret } from '../pull-secrets/cached-secret.ts';
import { matchesAny } from '../util/glob.ts';
import type { ProvisioningSettings } from './provisioning-settings.ts';

/** The cached state of one namespace. */
export interface ObservedNamespace {
  readonly name: string;
  /** Undefined: the label selector does not match it. */
  readonly namespace: Namespace | undefined;
  /** Undefined: there is no Secret. */
  readonly secret: Pick<CachedSecret, 'isManaged' | 'isOptedOut' | 'hosts'> | undefined;
  readonly serviceAccounts: readonly ServiceAccount[];
}

/** An action in a namespace, with its reason. */
export type Action =
  | {
      readonly kind: 'ensure-secret';
      readonly registries: readonly Registry[];
      readonly reason: 'no-secret' | 'host-missing' | 'unmanaged-secret';
    }
  | {
      readonly kind: 'add-reference';
      readonly serviceAccount: string;
      readonly reason: 'no-reference' | 'references-other-secret';
    }
  | {
      readonly kind: 'remove-reference';
      readonly serviceAccount: string;
      readonly reason:
        | 'provisioning-disabled'
        | 'namespace-not-selected'
        | 'registries-denied'
        | 'service-account-not-selected';
    };

type UnselectedReason = Extract<Action, { kind: 'remove-reference' }>['reason'];

/** Whether a rule denies a namespace the tokens of a registry; undefined: not known yet. */
export type IsDenied = (namespace: string, registry: Registry) => boolean | undefined;

/**
 * Plans the actions that bring a namespace to the desired state. Terminating and excluded namespaces are skipped. A namespace
 * that is no longer selected, or to which rules deny all registries, loses the references that the program added, but keeps its
 * Secret, because pods may use it. Nothing is done in a selected namespace while it is not known what rules deny to it.
 */
export function planActions(
  observed: ObservedNamespace,
  settings: ProvisioningSettings,
  isDenied: IsDenied,
): Action[] {
  if (observed.namespace?.isTerminating === true || matchesAny(settings.excludedNamespaces, observed.name)) {
    return [];
  }
  const unselectedNamespace = findUnselectedReason(observed, settings);
  const denials = settings.registries.map((registry) => isDenied(observed.name, registry));
  if (unselectedNamespace === undefined && denials.includes(undefined)) {
    return [];
  }
  const registries = settings.registries.filter((_, index) => denials[index] !== true);
  const unselected = unselectedNamespace ?? (registries.length === 0 ? 'registries-denied' : undefined);
  const secret = unselected === undefined ? planSecretActions(observed, registries) : [];
  return [
    ...secret,
    ...observed.serviceAccounts.flatMap((account) =>
      planServiceAccountActions(account, unselected, settings),
    ),
  ];
}

/** Whether the settings select a namespace. Some (such as kube-system) are selected only by their exact name. */
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
    return 'provisioning-disabled';
  }
  return namespace !== undefined && isSelected(namespace, settings) ? undefined : 'namespace-not-selected';
}

/** Plans only hosts that the Secret does not contain; renewal handles the tokens of those that it contains. */
function planSecretActions({ secret }: ObservedNamespace, registries: readonly Registry[]): Action[] {
  if (secret === undefined) {
    return [{ kind: 'ensure-secret', registries, reason: 'no-secret' }];
  }
  if (!secret.isManaged) {
    return isBlockingSecret(secret)
      ? [{ kind: 'ensure-secret', registries, reason: 'unmanaged-secret' }]
      : [];
  }
  const missing = registries.filter(({ host }) => !secret.hosts.has(host));
  return missing.length === 0 ? [] : [{ kind: 'ensure-secret', registries: missing, reason: 'host-missing' }];
}

function planServiceAccountActions(
  { name, managedReference, imagePullSecrets }: ServiceAccount,
  unselected: UnselectedReason | undefined,
  { serviceAccounts, secretName }: ProvisioningSettings,
): Action[] {
  const reason =
    unselected ?? (matchesAny(serviceAccounts, name) ? undefined : 'service-account-not-selected');
  if (reason !== undefined) {
    // a reference to a Secret of another name belongs to another installation
    return managedReference === secretName
      ? [{ kind: 'remove-reference', serviceAccount: name, reason }]
      : [];
  }
  if (managedReference !== undefined && managedReference !== secretName) {
    return [{ kind: 'add-reference', serviceAccount: name, reason: 'references-other-secret' }];
  }
  return imagePullSecrets.includes(secretName)
    ? []
    : [{ kind: 'add-reference', serviceAccount: name, reason: 'no-reference' }];
}
