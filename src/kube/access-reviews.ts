// Asks the API server what the caller, or another user, may do.
import { getField } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { sendJson } from './request.ts';

/** One verb on one resource. */
export interface AccessRight {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Undefined: all objects. A list or watch may be restricted to one name too. */
  readonly name?: string;
  /** Undefined: all namespaces, or a resource without namespaces. */
  readonly namespace?: string;
}

/** A user as the API server authenticates it. */
export interface ReviewedUser {
  readonly user: string;
  readonly groups: readonly string[];
}

/** The user of a ServiceAccount (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens). */
export function serviceAccountUser(namespace: string, name: string): ReviewedUser {
  return {
    user: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}

/** Answers whether a right is granted. Every failure is a {@link KubeError}. */
export type AccessReviewer = (right: AccessRight) => Promise<boolean>;

/** @param user undefined: the caller. For another user, the caller needs the right to create subjectaccessreviews */
export function createAccessReviewer(config: ClusterConfig, user?: ReviewedUser): AccessReviewer {
  const resource = user === undefined ? 'selfsubjectaccessreviews' : 'subjectaccessreviews';
  return async ({ verb, group, resource: reviewed, subresource, name, namespace }) => {
    const resourceAttributes = {
      ...{ verb, group, resource: reviewed },
      ...(subresource !== undefined && { subresource }),
      ...(name !== undefined && { name }),
      ...(namespace !== undefined && { namespace }),
    };
    const review = await sendJson(config, {
      method: 'POST',
      path: `/apis/authorization.k8s.io/v1/${resource}`,
      body: { spec: { resourceAttributes, ...user } },
      operation: `create ${resource}`,
    });
    return getField(getField(review, 'status'), 'allowed') === true;
  };
}

/** Formats a right as `list secrets named "x" in namespace "y"`. */
export function formatRight({ verb, group, resource, subresource, name, namespace }: AccessRight): string {
  const kind = `${resource}${subresource === undefined ? '' : `/${subresource}`}${group === '' ? '' : `.${group}`}`;
  const which = name === undefined ? '' : ` named "${name}"`;
  return `${verb} ${kind}${which}${namespace === undefined ? '' : ` in namespace "${namespace}"`}`;
}
