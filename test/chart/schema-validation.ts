import type { KubeObject } from './rendered-objects.ts';

/** Kinds of others' APIs, which Kubernetes' own schemas do not have. */
export const customResourceKinds: readonly string[] = [
  'Certificate',
  'Issuer',
  'ServiceMonitor',
  'PodMonitor',
];

interface Model {
  validate(): void;
}

/**
 * What Kubernetes' published schemas find wrong with an object; undefined: nothing. They know of no unknown fields: the
 * API server itself is asked for those.
 * @throws where there is no schema for its kind
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
