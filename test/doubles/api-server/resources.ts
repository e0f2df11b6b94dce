/** A kind of object that the stand-in keeps. */
export interface Resource {
  group: string;
  version: string;
  /** Plural and lower case, as in paths. */
  resource: string;
  kind: string;
  namespaced: boolean;
}

const make = (group: string, resource: string, kind: string, namespaced: boolean): Resource => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced,
});

const RBAC = 'rbac.authorization.k8s.io';

/** Namespaces, which other objects live in. */
export const NAMESPACES = make('', 'namespaces', 'Namespace', false);
/** Webhooks: what drives admission. */
export const WEBHOOKS = make(
  'admissionregistration.k8s.io',
  'mutatingwebhookconfigurations',
  'MutatingWebhookConfiguration',
  false,
);
/** The objects that rights are made of. */
export const CLUSTER_ROLES = make(RBAC, 'clusterroles', 'ClusterRole', false);
export const CLUSTER_ROLE_BINDINGS = make(RBAC, 'clusterrolebindings', 'ClusterRoleBinding', false);
export const ROLES = make(RBAC, 'roles', 'Role', true);
export const ROLE_BINDINGS = make(RBAC, 'rolebindings', 'RoleBinding', true);
export const SECRETS = make('', 'secrets', 'Secret', true);
export const PODS = make('', 'pods', 'Pod', true);

/** All kinds that the stand-in keeps. */
export const ALL_RESOURCES: readonly Resource[] = [
  NAMESPACES,
  SECRETS,
  PODS,
  make('', 'serviceaccounts', 'ServiceAccount', true),
  make('', 'configmaps', 'ConfigMap', true),
  make('', 'events', 'Event', true),
  WEBHOOKS,
  CLUSTER_ROLES,
  CLUSTER_ROLE_BINDINGS,
  ROLES,
  ROLE_BINDINGS,
];

/** What a path names. */
export interface Target {
  resource: Resource;
  /** Undefined for cluster-scoped objects, and for a list over all namespaces. */
  namespace: string | undefined;
  /** Undefined for a collection. */
  name: string | undefined;
  subresource: string;
}

/** The `apiVersion` of a kind's objects. */
export function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`;
}
