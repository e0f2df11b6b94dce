// Lists all objects of a cluster, to compare them before and after.
import type { Request } from '../cluster/kube-request.ts';
import { getValueAt } from './rendered-objects.ts';

/** Kinds that Kubernetes itself creates and deletes. */
const kubernetesResources = [
  'events',
  'leases',
  'ipaddresses',
  'componentstatuses',
  'endpoints',
  'endpointslices',
];

/** Lists all objects in a cluster as `kind namespace/name`, without those that Kubernetes creates and deletes itself. */
export async function listAllObjects(request: Request): Promise<Set<string>> {
  const lists = (await collections(request)).map(async ({ path, resource }) => {
    const { body } = await request('GET', path);
    const items: unknown[] = getValueAt(body, 'items') ?? [];
    return items.map((item) => {
      const { namespace = '', name } = getValueAt(item, 'metadata');
      return `${resource} ${namespace}/${name}`;
    });
  });
  // Omit the Secrets in which Helm stores releases.
  return new Set((await Promise.all(lists)).flat().filter((one) => !one.includes('/sh.helm.release.')));
}

async function collections(request: Request): Promise<{ path: string; resource: string }[]> {
  const { body } = await request('GET', '/apis');
  const groups: unknown[] = getValueAt(body, 'groups');
  const versions = groups.map((group) => `/apis/${getValueAt(group, 'preferredVersion.groupVersion')}`);
  const found = ['/api/v1', ...versions].map(async (base) => {
    const resources: unknown[] = getValueAt((await request('GET', base)).body, 'resources') ?? [];
    return resources
      .filter((resource) => getValueAt(resource, 'verbs').includes('list'))
      .map((resource) => ({
        path: `${base}/${getValueAt(resource, 'name')}`,
        resource: String(getValueAt(resource, 'name')),
      }))
      .filter(({ resource }) => !kubernetesResources.includes(resource));
  });
  return (await Promise.all(found)).flat();
}

/** The sorted elements of `more` that are not in `less`. */
export function difference(more: ReadonlySet<string>, less: ReadonlySet<string>): string[] {
  return [...more].filter((one) => !less.has(one)).sort();
}
