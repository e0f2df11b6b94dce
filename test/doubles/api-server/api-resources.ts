// The resources of the API stand-in, and the parser of their paths.
import { type Resource, StatusError } from './api-status-error.ts';

const defineResource = (group: string, resource: string, kind: string, namespaced: boolean): Resource => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced,
});

const rbacGroup = 'rbac.authorization.k8s.io';

/** Namespaces, which other objects live in. */
export const namespaceResource = defineResource('', 'namespaces', 'Namespace', false);
/** Configurations of mutating webhooks, which admission calls. */
export const webhookResource = defineResource(
  'admissionregistration.k8s.io',
  'mutatingwebhookconfigurations',
  'MutatingWebhookConfiguration',
  false,
);
/** The objects of RBAC. */
export const clusterRoleResource = defineResource(rbacGroup, 'clusterroles', 'ClusterRole', false);
export const clusterRoleBindingResource = defineResource(
  rbacGroup,
  'clusterrolebindings',
  'ClusterRoleBinding',
  false,
);
export const roleResource = defineResource(rbacGroup, 'roles', 'Role', true);
export const roleBindingResource = defineResource(rbacGroup, 'rolebindings', 'RoleBinding', true);
export const secretResource = defineResource('', 'secrets', 'Secret', true);
export const podResource = defineResource('', 'pods', 'Pod', true);

/** All kinds that the stand-in supports. */
const allResources: readonly Resource[] = [
  namespaceResource,
  secretResource,
  podResource,
  defineResource('', 'serviceaccounts', 'ServiceAccount', true),
  defineResource('', 'configmaps', 'ConfigMap', true),
  defineResource('', 'events', 'Event', true),
  webhookResource,
  clusterRoleResource,
  clusterRoleBindingResource,
  roleResource,
  roleBindingResource,
];

/** The resource and object that a path names. */
export interface Target {
  resource: Resource;
  /** Undefined for cluster-scoped objects, and for a list over all namespaces. */
  namespace: string | undefined;
  /** Undefined for a collection. */
  name: string | undefined;
  subresource: string;
}

/** The `apiVersion` of a kind's objects. */
export function getApiVersion({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`;
}

function unknownPath(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource');
}

/**
 * Parses `/api/v1/…` and `/apis/GROUP/VERSION/…`.
 *
 * @throws {StatusError} 404 for anything else, and for kinds that the stand-in does not support
 */
export function parseTarget(path: string): Target {
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
