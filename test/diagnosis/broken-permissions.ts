// Setups in which the program lacks a permission that the chart grants.
import { clusterRole, openTemporaryRole } from '../chart/roles.ts';
import type { BrokenSetup } from './broken-setup.ts';

/** The verbs that are removed, and who notices. */
const missing: readonly { verb: string; resource: string; name: string; from: BrokenSetup['from'] }[] = [
  { verb: 'patch', resource: 'secrets', name: 'ecr-pull-secrets', from: 'inside' },
  { verb: 'create', resource: 'secrets', name: 'ecr-pull-secrets', from: 'outside' },
  { verb: 'watch', resource: 'secrets', name: 'ecr-pull-secrets', from: 'outside' },
  { verb: 'patch', resource: 'serviceaccounts', name: 'default', from: 'inside' },
];

export const brokenPermissionSetups: readonly BrokenSetup[] = missing.map(
  ({ verb, resource, name, from }) => ({
    name: `no permission to ${verb} ${resource}`,
    broken: `The ClusterRole of the program does not grant ${verb} on ${resource}`,
    command: ['doctor'],
    from,
    check: 'program-rights',
    consequences: ['secret-writable'],
    summary: `${from === 'inside' ? 'the program' : 'ServiceAccount …/ecr-pull-secrets'} may not ${verb} ${resource} named "${name}"`,
    break: async ({ cluster }) => {
      const role = openTemporaryRole(cluster.request, clusterRole);
      await role.read();
      await role.without(verb, resource);
      return { repair: () => role.restore() };
    },
  }),
);
