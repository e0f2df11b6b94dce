// Validates rendered objects against the published schemas of Kubernetes.
import type { KubeObject } from './rendered-objects.ts';

/** Kinds of custom resources, which the schemas of Kubernetes do not contain. */
export const customResourceKinds: readonly string[] = [
  'Certificate',
  'Issuer',
  'ServiceMonitor',
  'PodMonitor',
  'PrometheusRule',
];

interface Model {
  validate(): void;
}

/**
 * Returns the violation of Kubernetes' published schemas in an object, or undefined. The schemas do not detect unknown fields;
 * install.cluster.test.ts checks those with a real API server.
 * @throws {Error} if there is no schema for the kind
 */
export async function findSchemaProblem(object: KubeObject): Promise<string | undefined> {
  const module = await import(`kubernetes-models/${object.apiVersion}/${object.kind}`);
  const model: Model = new module[object.kind](object);
  try {
    model.validate();
    return undefined;
  } catch (error) {
    return `${object.kind}/${object.metadata.name}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
