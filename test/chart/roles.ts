import assert from 'node:assert/strict';
import type { Request } from '../cluster/kube-request.ts';
import { getValueAt, type KubeObject } from './rendered-objects.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';

export const clusterRole = `${rbac}/clusterroles/ecr-pull-secrets`;
export const certificatesClusterRole = `${clusterRole}-certificates`;

/** The path of a Role. */
export function role(namespace: string, name: string): string {
  return `${rbac}/namespaces/${namespace}/roles/${name}`;
}

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** An installed role, which may do without a verb for a while. */
export interface TemporaryRole {
  /** Takes what is installed now for the whole of it. */
  read(): Promise<void>;
  without(verb: string, resource: string): Promise<void>;
  restore(): Promise<void>;
}

export function openTemporaryRole(request: Request, path: string): TemporaryRole {
  let whole: KubeObject | undefined;
  const put = async (rules: readonly Rule[]) => {
    const how = { contentType: 'application/merge-patch+json' };
    const { status, body } = await request('PATCH', path, { rules }, how);
    assert.equal(status, 200, JSON.stringify(body));
  };
  return {
    read: async () => {
      whole = (await request('GET', path)).body as KubeObject;
    },
    without: async (verb, resource) => {
      const rules: Rule[] = getValueAt(whole, 'rules');
      const less = rules.map((rule) =>
        rule.resources.includes(resource)
          ? { ...rule, verbs: rule.verbs.filter((one) => one !== verb) }
          : rule,
      );
      // a rule without a verb is none
      await put(less.filter(({ verbs }) => verbs.length > 0));
    },
    restore: () => put(getValueAt(whole, 'rules')),
  };
}

/** How a missing right is told in the log. Kubernetes 1.30 gives no reason where an apply may not create. */
export function forbiddenPattern(verb: string, resource: string): RegExp {
  const named = `cannot ${verb} resource .?"${resource}`;
  return new RegExp(verb === 'create' ? `${named}|cannot apply Secret .+forbidden` : named);
}
