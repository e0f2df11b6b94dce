// Finds the pods that the objects of a manifest describe: pods, and the pod templates of workloads. Pure.
import { getField, getItems, isObject, toText } from '../util/json.ts';

/** A pod that an object of a manifest describes. */
interface ManifestPod {
  /** The kind and the name of the object, such as `Deployment`, `cart`. */
  readonly kind: string;
  readonly name: string;
  /** The namespace in the manifest; undefined: it names none. */
  readonly namespace: string | undefined;
  /** A pod with metadata and spec. */
  readonly pod: unknown;
}

export interface ManifestContent {
  readonly pods: readonly ManifestPod[];
  /** Kinds and names of objects that describe no pod, such as `Service/cart`. */
  readonly others: readonly string[];
}

/** Where an object can hold a pod template. Custom resources such as Rollouts use the same places as Deployments. */
const templatePaths: readonly (readonly string[])[] = [
  ['spec', 'template'],
  ['spec', 'jobTemplate', 'spec', 'template'],
  ['template'],
];

/** Maximum number of objects that are read. */
const maxObjects = 10_000;

/** Returns the pods in the documents of a manifest. The items of a List are objects of the manifest. */
export function findManifestPods(documents: readonly unknown[]): ManifestContent {
  const pods: ManifestPod[] = [];
  const others: string[] = [];
  const pending = [...documents].reverse();
  for (let read = 0; pending.length > 0 && read < maxObjects; read += 1) {
    const object = pending.pop();
    const items = getField(object, 'items');
    if (Array.isArray(items)) {
      pending.push(...getItems(items).slice(0, maxObjects).toReversed());
      continue;
    }
    const found = findPod(object);
    if (found !== undefined) {
      pods.push(found);
    } else if (isObject(object)) {
      const { kind, name } = identify(object);
      others.push(`${kind}/${name}`);
    }
  }
  return { pods, others };
}

function findPod(object: unknown): ManifestPod | undefined {
  if (isPodLike(object) && getField(object, 'kind') === 'Pod') {
    return { ...identify(object), pod: object };
  }
  const template = templatePaths.map((path) => path.reduce(getField, object)).find(isPodLike);
  return template === undefined ? undefined : { ...identify(object), pod: template };
}

function isPodLike(value: unknown): boolean {
  return Array.isArray(getField(getField(value, 'spec'), 'containers'));
}

function identify(object: unknown): Pick<ManifestPod, 'kind' | 'name' | 'namespace'> {
  const metadata = getField(object, 'metadata');
  const namespace = getField(metadata, 'namespace');
  return {
    kind: toText(getField(object, 'kind')) || 'object',
    name: toText(getField(metadata, 'name')) || toText(getField(metadata, 'generateName')) || '(no name)',
    namespace: typeof namespace === 'string' && namespace !== '' ? namespace : undefined,
  };
}
