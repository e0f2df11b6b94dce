// Authentication and RBAC of the API stand-in.
import { randomBytes } from 'node:crypto';
import {
  clusterRoleBindingResource,
  clusterRoleResource,
  roleBindingResource,
  roleResource,
  type Target,
} from './api-resources.ts';
import { forbidden, StatusError } from './api-status-error.ts';
import { arrayOr, type KubeObject, objectOr } from './kube-object.ts';
import type { Store } from './store.ts';

/** Who makes a request. */
export interface User {
  username: string;
  groups: string[];
}

/** What a request wants to do; `name` is also what a list's field selector names. */
export interface Attempt extends Target {
  verb: string;
}

const adminGroup = 'system:masters';

/** The users that have been given a token. */
export class Users {
  readonly #byToken = new Map<string, User>();

  /** A token of an administrator, who may do everything. */
  admin(): string {
    return this.#add({ username: 'admin', groups: [adminGroup, 'system:authenticated'] });
  }

  /** A token of a ServiceAccount, who may do what roles allow. */
  serviceAccount(namespace: string, name: string): string {
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
    return this.#add({ username: `system:serviceaccount:${namespace}:${name}`, groups });
  }

  /** The user of an `Authorization` header; anonymous without one. @throws {StatusError} 401 for a wrong one */
  of(authorization: string | undefined): User {
    if (authorization === undefined) {
      return { username: 'system:anonymous', groups: ['system:unauthenticated'] };
    }
    const user = this.#byToken.get(/^Bearer (.+)$/.exec(authorization)?.[1] ?? '');
    if (user === undefined) {
      throw new StatusError(401, 'Unauthorized', 'Unauthorized');
    }
    return user;
  }

  /** Takes back all tokens but administrators'. */
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

const has = (list: unknown, wanted: string): boolean =>
  arrayOr(list).some((one) => one === wanted || one === '*');

function allows(rule: unknown, { verb, resource, name, subresource }: Attempt): boolean {
  const { verbs, apiGroups, resources, resourceNames } = objectOr(rule);
  const wanted = subresource === '' ? resource.resource : `${resource.resource}/${subresource}`;
  const names = arrayOr(resourceNames);
  return (
    has(verbs, verb) &&
    has(apiGroups, resource.group) &&
    (has(resources, wanted) || (subresource !== '' && has(resources, `*/${subresource}`))) &&
    (names.length === 0 || (name !== undefined && names.includes(name)))
  );
}

function isSubject(subject: unknown, binding: KubeObject, { username, groups }: User): boolean {
  const { kind, name, namespace = binding.metadata.namespace } = objectOr(subject);
  if (kind === 'ServiceAccount') {
    return username === `system:serviceaccount:${namespace}:${name}`;
  }
  if (kind === 'Group') {
    return typeof name === 'string' && groups.includes(name);
  }
  return kind === 'User' && name === username;
}

function rulesOf(store: Store, binding: KubeObject): unknown[] {
  const { kind, name } = objectOr(binding['roleRef']);
  if (typeof name !== 'string') {
    return [];
  }
  const role =
    kind === 'Role'
      ? store.get(roleResource, binding.metadata.namespace, name)
      : store.get(clusterRoleResource, undefined, name);
  return arrayOr(role?.['rules']);
}

/**
 * Authorizes by the stored (Cluster)Roles and their bindings, as RBAC does, aggregation aside.
 *
 * @throws {StatusError} 403, worded as the real one
 */
export function authorize(store: Store, user: User, attempt: Attempt): void {
  if (user.groups.includes(adminGroup)) {
    return;
  }
  const { verb, resource, namespace, name, subresource } = attempt;
  const bindings = [
    ...store.list(clusterRoleBindingResource),
    ...(namespace === undefined ? [] : store.list(roleBindingResource, namespace)),
  ].filter((binding) => arrayOr(binding['subjects']).some((subject) => isSubject(subject, binding, user)));
  if (bindings.some((binding) => rulesOf(store, binding).some((rule) => allows(rule, attempt)))) {
    return;
  }
  const scope = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const what = subresource === '' ? resource.resource : `${resource.resource}/${subresource}`;
  const why = `User "${user.username}" cannot ${verb} resource "${what}" in API group "${resource.group}" ${scope}`;
  throw forbidden(resource, name, why);
}
