// Which rights the program needs because of its configuration, and which it should not have. Pure.
import type { Config } from '../config/schema.ts';
import type { AccessRight } from '../kube/access-reviews.ts';
import type { CheckResult } from './check.ts';

/** A right that the program needs. */
export interface RequiredRight extends AccessRight {
  /** What does not work without it. */
  readonly purpose: string;
  /** Whether pods cannot pull without it. */
  readonly isEssential: boolean;
}

const core = { group: '' } as const;

/** The rights of docs/reference/chart.md#permissions that `serve` needs with this configuration. */
export function listRequiredRights(config: Config, namespace: string | undefined): RequiredRight[] {
  return [
    ...needs(['get', 'list', 'watch', 'create', 'patch'], 'secrets', 'pull Secrets', [config.secretName]),
    ...(config.renewal.events
      ? optional(['create'], 'events', 'Events about failures (renewal.events)')
      : []),
    // Without catch-up, rbac.listPods of the chart may be false.
    ...(config.catchUp.enabled ? optional(['list'], 'pods', 'finding unused hosts and missed pods') : []),
    ...(config.catchUp.evict ? optional(['delete'], 'pods', 'recreating missed pods (catchUp.evict)') : []),
    ...listNamespaceRights(config),
    ...listServiceAccountRights(config),
    ...listTokenRights(config),
    ...listCertificateRights(config, namespace),
  ];
}

function needs(
  verbs: readonly string[],
  resource: string,
  purpose: string,
  names: readonly (string | undefined)[] = [undefined],
): RequiredRight[] {
  return names.flatMap((name) =>
    verbs.map((verb) => ({
      ...core,
      ...{ verb, resource, purpose, isEssential: true },
      ...(name !== undefined && { name }),
    })),
  );
}

function optional(verbs: readonly string[], resource: string, purpose: string): RequiredRight[] {
  return needs(verbs, resource, purpose).map((right) => ({ ...right, isEssential: false }));
}

function listNamespaceRights({ provisioning, registries, catchUp }: Config): RequiredRight[] {
  if (provisioning.registries.length > 0) {
    return needs(['list', 'watch'], 'namespaces', 'provisioning');
  }
  if (registries.some(({ namespaces }) => (namespaces?.selector ?? '') !== '')) {
    return needs(['list', 'watch'], 'namespaces', 'rules that select namespaces by labels');
  }
  return catchUp.enabled && catchUp.namespaces.selector !== ''
    ? optional(['list'], 'namespaces', 'finding missed pods')
    : [];
}

function listServiceAccountRights({
  provisioning: { registries, serviceAccounts },
}: Config): RequiredRight[] {
  if (registries.length === 0 || serviceAccounts.length === 0) {
    return [];
  }
  const purpose = 'references in ServiceAccounts';
  const isPattern = serviceAccounts.some((name) => name.includes('*'));
  const patched = isPattern ? [undefined] : serviceAccounts;
  const watched = serviceAccounts.length === 1 ? patched : [undefined];
  return [
    ...needs(['list', 'watch'], 'serviceaccounts', purpose, watched),
    ...needs(['get', 'patch'], 'serviceaccounts', purpose, patched),
  ];
}

function listTokenRights({ registries }: Config): RequiredRight[] {
  const names = new Set(registries.flatMap(({ webIdentity }) => webIdentity?.serviceAccount ?? []));
  const purpose = 'identities of ServiceAccounts (registries[].webIdentity)';
  return [...names].flatMap((name) => [
    ...needs(['list', 'watch'], 'serviceaccounts', purpose, [name]),
    {
      ...core,
      verb: 'create',
      resource: 'serviceaccounts',
      subresource: 'token',
      name,
      purpose,
      isEssential: true,
    },
  ]);
}

function listCertificateRights({ certificates }: Config, namespace: string | undefined): RequiredRight[] {
  if (certificates.source !== 'managed') {
    return [];
  }
  const own = certificates.namespace ?? namespace;
  const verbs = ['get', 'list', 'watch', 'patch'];
  const purpose = "the webhook's certificate";
  return [
    ...needs([...verbs, 'create'], 'secrets', purpose, [certificates.secretName]).map((right) => ({
      ...right,
      ...(own !== undefined && { namespace: own }),
    })),
    ...needs(verbs, 'mutatingwebhookconfigurations', purpose, [certificates.webhookConfiguration]).map(
      (right) => ({ ...right, group: 'admissionregistration.k8s.io' }),
    ),
  ];
}

/** A right that nothing in the program needs, and what it allows an attacker who takes over the ServiceAccount. */
export interface ExcessRight extends AccessRight {
  readonly danger: string;
}

export function listExcessRights({ certificates }: Config): ExcessRight[] {
  const readsSecrets = 'read every Secret of the cluster';
  const becomesAdmin = 'give itself any permission';
  const rbac = 'rbac.authorization.k8s.io';
  return [
    { ...core, verb: 'get', resource: 'secrets', danger: readsSecrets },
    { ...core, verb: 'list', resource: 'secrets', danger: readsSecrets },
    { ...core, verb: 'patch', resource: 'secrets', danger: 'change every Secret of the cluster' },
    { ...core, verb: 'create', resource: 'pods', danger: 'run any container with any ServiceAccount' },
    { ...core, verb: 'create', resource: 'pods', subresource: 'exec', danger: 'run commands in every pod' },
    {
      ...core,
      ...{ verb: 'create', resource: 'serviceaccounts', subresource: 'token' },
      danger: 'become any ServiceAccount',
    },
    { ...core, verb: 'impersonate', resource: 'users', danger: 'become any user' },
    { group: rbac, verb: 'escalate', resource: 'clusterroles', danger: becomesAdmin },
    { group: rbac, verb: 'bind', resource: 'clusterroles', danger: becomesAdmin },
    ...(certificates.source === 'managed'
      ? []
      : [
          {
            ...{
              group: 'admissionregistration.k8s.io',
              verb: 'patch',
              resource: 'mutatingwebhookconfigurations',
            },
            danger: 'change every new object of the cluster',
          },
        ]),
  ];
}

/** Judges which required rights are missing. @param user the reviewed user, for the summary */
export function judgeRequiredRights(
  missing: readonly RequiredRight[],
  format: (right: AccessRight) => string,
  user: string,
): CheckResult {
  const check = 'program-rights';
  const [first] = missing;
  if (first === undefined) {
    return { check, outcome: 'ok', summary: `${user} has all rights that the configuration needs` };
  }
  const essential = missing.filter(({ isEssential }) => isEssential);
  const named = essential[0] ?? first;
  const others = missing.length > 1 ? ` and lacks ${missing.length - 1} more rights` : '';
  return {
    check,
    outcome: essential.length > 0 ? 'failed' : 'warning',
    summary: `${user} may not ${format(named)}${others}`,
    meaning:
      essential.length > 0
        ? `Without it, these do not work: ${[...new Set(essential.map(({ purpose }) => purpose))].join('; ')}`
        : `Pods pull, but these do not work: ${[...new Set(missing.map(({ purpose }) => purpose))].join('; ')}`,
    remedy: 'Restore the ClusterRole of the chart with helm upgrade, or grant the rights below',
    page: 'reference/chart.md#permissions',
    details: missing.map(format),
  };
}

/** Judges which rights exist that should not. */
export function judgeExcessRights(
  granted: readonly ExcessRight[],
  format: (right: AccessRight) => string,
  user: string,
): CheckResult {
  const check = 'excess-rights';
  if (granted.length === 0) {
    return { check, outcome: 'ok', summary: `${user} has none of the dangerous rights that were checked` };
  }
  const dangers = [...new Set(granted.map(({ danger }) => danger))];
  return {
    check,
    outcome: 'warning',
    summary: `${user} may ${dangers[0]}${dangers.length > 1 ? `, and ${dangers.length - 1} more` : ''}`,
    meaning: 'Pods pull, but an attacker who takes over the program can do the same',
    remedy: 'Find the role that grants it with kubectl get clusterrolebindings -o wide, and remove it',
    page: 'how-to/restrict-permissions.md#in-kubernetes',
    details: granted.map((right) => `${format(right)}: the program can ${right.danger}`),
  };
}
