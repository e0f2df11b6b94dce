// The resources of the API stand-in, and the parser of their paths.
import { type Resource, StatusError } from './api-status-error.ts';

const make = (group: string, resource: string, kind: string, namespaced: boolean): Resource => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced,
});

const rbacGroup = 'rbac.authorization.k8s.io';

/** Namespaces, which other objects live in. */
export const namespaceResource = make('', 'namespaces', 'Namespace', false);
/** Webhooks: what drives admission. */
export const webhookResource = make(
  'admissionregistration.k8s.io',
  'mutatingwebhookconfigurations',
  'MutatingWebhookConfiguration',
  false,
);
/** The objects that rights are made of. */
export const clusterRoleResource = make(rbacGroup, 'clusterroles', 'ClusterRole', false);
export const clusterRoleBindingResource = make(rbacGroup, 'clusterrolebindings', 'ClusterRoleBinding', false);
export const roleResource = make(rbacGroup, 'roles', 'Role', true);
export const roleBindingResource = make(rbacGroup, 'rolebindings', 'RoleBinding', true);
export const secretResource = make('', 'secrets', 'Secret', true);
export const podResource = make('', 'pods', 'Pod', true);

/** All kinds that the stand-in keeps. */
const allResources: readonly Resource[] = [
  namespaceResource,
  secretResource,
  podResource,
  make('', 'serviceaccounts', 'ServiceAccount', true),
  make('', 'configmaps', 'ConfigMap', true),
  make('', 'events', 'Event', true),
  webhookResource,
  clusterRoleResource,
  clusterRoleBindingResource,
  roleResource,
  roleBindingResource,
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

function unknownPath(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource');
}

/**
 * Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`.
 *
 * @throws {StatusError} 404 for anything else, and for kinds that the stand-in does not keep
 */
export function targetOf(path: string): Target {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  const root = parts.shift();
  const group = root === 'apis' ? parts.shift() : root === 'api' ? '' : undefined;
  const version = parts.shift();
  const inNamespace =
    parts[0] === 'namespaces' && parts.length > 2 && !['status', 'finalize'].includes(parts[2] ?? '');
  const namespace = inNamespace ? parts[1] : undefined;
  const [plural, name, subresource = '', ...rest] = inNamespace ? parts.slice(2) : parts;
  const resource = allResources.find(
    (one) => one.group === group && one.version === version && one.resource === plural,
  );
  if (resource === undefined || rest.length > 0) {
    throw unknownPath();
  }
  if (resource.namespaced !== inNamespace && (name !== undefined || inNamespace)) {
    throw unknownPath();
  }
  return { resource, namespace, name, subresource };
}
