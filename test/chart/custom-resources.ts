// CustomResourceDefinitions for kinds whose operators do not run in the tests.
import type { Request } from '../cluster/kube-request.ts';

/** A namespaced kind of custom resources. */
export interface CustomKind {
  readonly group: string;
  readonly kind: string;
  /** `v1` by default. */
  readonly version?: string;
}

const chartKinds: readonly CustomKind[] = [
  { group: 'cert-manager.io', kind: 'Certificate' },
  { group: 'cert-manager.io', kind: 'Issuer' },
  { group: 'monitoring.coreos.com', kind: 'ServiceMonitor' },
  { group: 'monitoring.coreos.com', kind: 'PodMonitor' },
  { group: 'monitoring.coreos.com', kind: 'PrometheusRule' },
];

/** Installs the kinds of cert-manager and the Prometheus operator that the chart uses, with a schema that accepts any object. */
export async function installCustomResources(request: Request): Promise<void> {
  for (const kind of chartKinds) {
    await installDefinition(request, buildDefinition(kind));
  }
}

/** A definition of a kind with a schema that accepts any object. */
export function buildDefinition({ group, kind, version = 'v1' }: CustomKind): object {
  const singular = kind.toLowerCase();
  const plural = singular.endsWith('y') ? `${singular.slice(0, -1)}ies` : `${singular}s`;
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular },
      versions: [{ name: version, served: true, storage: true, schema }],
    },
  };
}

/** @throws {Error} if the API server refuses the definition */
export async function installDefinition(request: Request, definition: object): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const { status, body } = await request('POST', path, definition);
  if (status !== 201) {
    throw new Error(JSON.stringify(body));
  }
}
