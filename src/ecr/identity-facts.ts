// What identity rules need to know about namespaces and ServiceAccounts.
import type { Labels } from '../util/label-selector.ts';

/** The role that a ServiceAccount names in an annotation. The value is untrusted input. */
export interface RoleAnnotation {
  readonly annotation: string;
  readonly roleArn: string;
}

/** What is known of a ServiceAccount. */
export type ServiceAccountFact =
  | { readonly state: 'unknown' }
  | { readonly state: 'missing' }
  | { readonly state: 'exists'; readonly role: RoleAnnotation | undefined };

/** Lookups in caches that watches keep up to date. They do no I/O, and are called only if a rule needs them. */
export interface IdentityFacts {
  /** The labels of a namespace; undefined: not known. */
  namespaceLabels(namespace: string): Labels | undefined;
  serviceAccount(namespace: string, name: string): ServiceAccountFact;
}

/**
 * For rules that need no facts.
 * @internal exported for tests
 */
export const unknownFacts: IdentityFacts = {
  namespaceLabels: () => undefined,
  serviceAccount: () => ({ state: 'unknown' }),
};

/**
 * The annotations that name a role, the first one first: the role for image pulls of OpenShift and cloud-provider-aws, and that
 * of IAM roles for service accounts.
 */
export const roleAnnotations = ['eks.amazonaws.com/ecr-role-arn', 'eks.amazonaws.com/role-arn'] as const;

/** Returns the role that a ServiceAccount's annotations name. An empty annotation counts as absent. */
export function findRoleAnnotation(
  annotations: Readonly<Record<string, string>> | undefined,
): RoleAnnotation | undefined {
  for (const annotation of roleAnnotations) {
    const roleArn = annotations?.[annotation];
    if (roleArn) {
      return { annotation, roleArn };
    }
  }
  return undefined;
}

/** Whether a text is the ARN of an IAM role, with the characters that IAM allows. */
export function isRoleArn(text: string): boolean {
  return /^arn:aws[a-z-]{0,20}:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/.test(text);
}
