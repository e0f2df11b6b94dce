// Asks the API server what the caller, or another user, may do.
import { AuthorizationV1Api } from '@kubernetes/client-node';
import { type ClusterConfig, createApiConfiguration, withKubeErrors } from './client.ts';

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
  const api = new AuthorizationV1Api(createApiConfiguration(config));
  return async ({ verb, group, resource, subresource, name, namespace }) => {
    const resourceAttributes = {
      ...{ verb, group, resource },
      ...(subresource !== undefined && { subresource }),
      ...(name !== undefined && { name }),
      ...(namespace !== undefined && { namespace }),
    };
    const operation = `create ${user === undefined ? 'selfsubjectaccessreviews' : 'subjectaccessreviews'}`;
    return await withKubeErrors(operation, async () => {
      const { status } =
        user === undefined
          ? await api.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } })
          : await api.createSubjectAccessReview({
              body: { spec: { resourceAttributes, user: user.user, groups: [...user.groups] } },
            });
      return status?.allowed === true;
    });
  };
}

/** Formats a right as `list secrets named "x" in namespace "y"`. */
export function formatRight({ verb, group, resource, subresource, name, namespace }: AccessRight): string {
  const kind = `${resource}${subresource === undefined ? '' : `/${subresource}`}${group === '' ? '' : `.${group}`}`;
  const which = name === undefined ? '' : ` named "${name}"`;
  return `${verb} ${kind}${which}${namespace === undefined ? '' : ` in namespace "${namespace}"`}`;
}
