// Identities of the simulated namespaces: the rules, the label that selects one of them, and which one fetched a token.
import type { IdentityRule } from '../../../src/ecr/identity-rules.ts';

/** What the rules give to a namespace: a role of its own in one of two colours, or nothing. */
export type Access = 'blue' | 'green' | 'denied';

const accessLabel = 'example.com/access';
const rolePrefix = 'arn:aws:iam::123456789012:role/';

/** Namespaces without the label are blue. */
export const identityRules: readonly IdentityRule[] = [
  { namespaces: { selector: `${accessLabel}=denied` }, access: 'deny' },
  { namespaces: { selector: `${accessLabel}=green` }, roleArn: `${rolePrefix}green-{namespace}` },
  { roleArn: `${rolePrefix}blue-{namespace}`, sessionName: '{namespace}' },
];

export function labelsFor(access: Access): Record<string, string> {
  return { [accessLabel]: access };
}

/** The end of the ARN of a session of a namespace's role. */
function describeRole(namespace: string, access: Access): string {
  return `:assumed-role/${access}-${namespace}/`;
}

/** Whether a principal is the role of a namespace in one of these colours. */
export function isPrincipalOf(namespace: string, accesses: readonly Access[], principal: string): boolean {
  return accesses.some((access) => principal.includes(describeRole(namespace, access)));
}
