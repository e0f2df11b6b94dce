// CustomResourceDefinitions for the kinds of cert-manager and the Prometheus operator.
import type { Request } from '../cluster/kube-request.ts';

const kinds = [
  { group: 'cert-manager.io', kind: 'Certificate' },
  { group: 'cert-manager.io', kind: 'Issuer' },
  { group: 'monitoring.coreos.com', kind: 'ServiceMonitor' },
  { group: 'monitoring.coreos.com', kind: 'PodMonitor' },
  { group: 'monitoring.coreos.com', kind: 'PrometheusRule' },
];

/** Installs the kinds of cert-manager and the Prometheus operator that the chart uses, with a schema that accepts any object. */
export async function installCustomResources(request: Request): Promise<void> {
  for (const { group, kind } of kinds) {
    const singular = kind.toLowerCase();
    const plural = `${singular}s`;
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    const { status, body } = await request(
      'POST',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: `${plural}.${group}` },
        spec: {
          group,
          scope: 'Namespaced',
          names: { kind, plural, singular },
          versions: [{ name: 'v1', served: true, storage: true, schema }],
        },
      },
    );
    if (status !== 201) {
      throw new Error(JSON.stringify(body));
    }
  }
}
