// Removes single permissions from an installed role for a test.
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

/** An installed role from which a verb can be removed temporarily. */
export interface TemporaryRole {
  /** Stores the installed rules, which `restore` writes back. */
  read(): Promise<void>;
  without(verb: string, resource: string): Promise<void>;
  restore(): Promise<void>;
}

export function openTemporaryRole(request: Request, path: string): TemporaryRole {
  let complete: KubeObject | undefined;
  const put = async (rules: readonly Rule[]) => {
    const options = { contentType: 'application/merge-patch+json' };
    const { status, body } = await request('PATCH', path, { rules }, options);
    assert.equal(status, 200, JSON.stringify(body));
  };
  return {
    read: async () => {
      complete = (await request('GET', path)).body as KubeObject;
    },
    without: async (verb, resource) => {
      const rules: Rule[] = getValueAt(complete, 'rules');
      const remaining = rules.map((rule) =>
        rule.resources.includes(resource)
          ? { ...rule, verbs: rule.verbs.filter((one) => one !== verb) }
          : rule,
      );
      // The API server refuses rules without verbs.
      await put(remaining.filter(({ verbs }) => verbs.length > 0));
    },
    restore: () => put(getValueAt(complete, 'rules')),
  };
}

/** Matches a log line about a missing permission. Kubernetes 1.30 returns no details if an apply may not create. */
export function forbiddenPattern(verb: string, resource: string): RegExp {
  const named = `cannot ${verb} resource .?"${resource}`;
  return new RegExp(verb === 'create' ? `${named}|cannot apply Secret .+forbidden` : named);
}
