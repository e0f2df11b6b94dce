// Authentication and RBAC of the API stand-in.
import { randomBytes } from 'node:crypto';
import {
  clusterRoleBindingResource,
  clusterRoleResource,
  roleBindingResource,
  roleResource,
  type Target,
} from './api-resources.ts';
import { createForbidden, StatusError } from './api-status-error.ts';
import { type KubeObject, toArray, toObject } from './kube-object.ts';
import type { Store } from './store.ts';

/** The user of a request. */
export interface User {
  username: string;
  groups: string[];
}

/** The properties of a request that RBAC checks. For a list, `name` is that of the field selector. */
export interface RequestAttributes extends Target {
  verb: string;
}

const adminGroup = 'system:masters';

/** All users, by their tokens. */
export class Users {
  readonly #byToken = new Map<string, User>();

  /** Creates an administrator, who has all permissions. Returns the token. */
  createAdmin(): string {
    return this.#add({ username: 'admin', groups: [adminGroup, 'system:authenticated'] });
  }

  /** Creates a token of a ServiceAccount, which has the permissions of its roles. */
  createServiceAccount(namespace: string, name: string): string {
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
    return this.#add({ username: `system:serviceaccount:${namespace}:${name}`, groups });
  }

  /** Returns the user of an `Authorization` header, anonymous without one. @throws {StatusError} 401 for an unknown token */
  authenticate(authorization: string | undefined): User {
    if (authorization === undefined) {
      return { username: 'system:anonymous', groups: ['system:unauthenticated'] };
    }
    const user = this.#byToken.get(/^Bearer (.+)$/.exec(authorization)?.[1] ?? '');
    if (user === undefined) {
      throw new StatusError(401, 'Unauthorized', 'Unauthorized');
    }
    return user;
  }

  /** Revokes all tokens except those of administrators. */
  revokeServiceAccounts(): void {
    for (const [token, { groups }] of this.#byToken) {
      if (!groups.includes(adminGroup)) {
        this.#byToken.delete(token);
      }
    }
  }

  #add(user: User): string {
    const token = randomBytes(24).toString('base64url');
    this.#byToken.set(token, user);
    return token;
  }
}

const includesOrAny = (list: unknown, value: string): boolean =>
  toArray(list).some((one) => one === value || one === '*');

function allows(rule: unknown, { verb, resource, name, subresource }: RequestAttributes): boolean {
  const { verbs, apiGroups, resources, resourceNames } = toObject(rule);
  const resourcePath = subresource === '' ? resource.resource : `${resource.resource}/${subresource}`;
  const names = toArray(resourceNames);
  return (
    includesOrAny(verbs, verb) &&
    includesOrAny(apiGroups, resource.group) &&
    (includesOrAny(resources, resourcePath) ||
      (subresource !== '' && includesOrAny(resources, `*/${subresource}`))) &&
    (names.length === 0 || (name !== undefined && names.includes(name)))
  );
}

function isSubject(subject: unknown, binding: KubeObject, { username, groups }: User): boolean {
  const { kind, name, namespace = binding.metadata.namespace } = toObject(subject);
  if (kind === 'ServiceAccount') {
    return username === `system:serviceaccount:${namespace}:${name}`;
  }
  if (kind === 'Group') {
    return typeof name === 'string' && groups.includes(name);
  }
  return kind === 'User' && name === username;
}

function getRules(store: Store, binding: KubeObject): unknown[] {
  const { kind, name } = toObject(binding['roleRef']);
  if (typeof name !== 'string') {
    return [];
  }
  const role =
    kind === 'Role'
      ? store.get(roleResource, binding.metadata.namespace, name)
      : store.get(clusterRoleResource, undefined, name);
  return toArray(role?.['rules']);
}

/**
 * Authorizes a request by the stored roles and bindings, as RBAC does. Aggregated roles are not supported.
 *
 * @throws {StatusError} 403, with the message of the real API server
 */
export function authorize(store: Store, user: User, attributes: RequestAttributes): void {
  if (user.groups.includes(adminGroup)) {
    return;
  }
  const { verb, resource, namespace, name, subresource } = attributes;
  const bindings = [
    ...store.list(clusterRoleBindingResource),
    ...(namespace === undefined ? [] : store.list(roleBindingResource, namespace)),
  ].filter((binding) => toArray(binding['subjects']).some((subject) => isSubject(subject, binding, user)));
  if (bindings.some((binding) => getRules(store, binding).some((rule) => allows(rule, attributes)))) {
    return;
  }
  const scope = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const what = subresource === '' ? resource.resource : `${resource.resource}/${subresource}`;
  const why = `User "${user.username}" cannot ${verb} resource "${what}" in API group "${resource.group}" ${scope}`;
  throw createForbidden(resource, name, why);
}
