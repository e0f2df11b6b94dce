// Validates Kubernetes objects against the published schemas of Kubernetes and of the tools that the documentation names.
import type { KubeObject } from '../chart/rendered-objects.ts';

/** Kinds of custom resources in the chart without a published schema in the npm packages that the tests use. */
export const customResourceKinds: readonly string[] = [
  'Certificate',
  'Issuer',
  'ServiceMonitor',
  'PodMonitor',
  'PrometheusRule',
];

/** The packages that contain the schemas of API groups; the first match applies. */
const packages: readonly { readonly matches: RegExp; readonly name: string }[] = [
  {
    matches: /^argoproj\.io\/\S+ (Application|ApplicationSet|AppProject)$/,
    name: '@kubernetes-models/argo-cd',
  },
  { matches: /^argoproj\.io\//, name: '@kubernetes-models/argo-workflows' },
  { matches: /^\w+\.toolkit\.fluxcd\.io\//, name: '@kubernetes-models/flux-cd' },
  { matches: /^\w+\.knative\.dev\//, name: '@kubernetes-models/knative' },
  // Except kustomization.yaml, which the API server does not serve.
  { matches: /^(\w+\/|(?!kustomize\.)[\w.]+\.k8s\.io\/)?v\w+ /, name: 'kubernetes-models' },
];

interface Model {
  readonly prototype: { validate(): void };
}

/**
 * Returns the violation of a published schema in an object, or undefined. Unknown fields are violations.
 * @throws {Error} if there is no schema for the kind
 */
export async function findSchemaProblem(object: KubeObject): Promise<string | undefined> {
  const { validate } = (await findModel(object)).prototype;
  const { tracked, findUnreadFields } = trackReads(object);
  try {
    validate.call(tracked);
  } catch (error) {
    return describeProblem(object, error instanceof Error ? error.message : String(error));
  }
  const unknown = findUnreadFields();
  return unknown.length === 0 ? undefined : describeProblem(object, `unknown fields: ${unknown.join(', ')}`);
}

/** Whether one of the packages has schemas for the API group of an object. */
export function hasSchema(object: KubeObject): boolean {
  return findPackage(object) !== undefined;
}

const describeProblem = ({ kind, metadata }: KubeObject, problem: string): string =>
  `${kind}/${metadata.name}: ${problem}`;

const findPackage = ({ apiVersion, kind }: KubeObject): string | undefined =>
  packages.find(({ matches }) => matches.test(`${apiVersion} ${kind}`))?.name;

async function findModel(object: KubeObject): Promise<Model> {
  const name = findPackage(object);
  if (name === undefined) {
    throw new Error(`no schema for ${object.apiVersion} ${object.kind}`);
  }
  const module = await import(`${name}/${object.apiVersion}/${object.kind}`);
  return module[object.kind];
}

interface ReadObject {
  readonly path: string;
  readonly keys: readonly string[];
  readonly read: Set<PropertyKey>;
}

/**
 * Wraps an object to find the fields that a validator does not know. The compiled validators read each field that their schema
 * defines, list the keys of maps, and do not look into objects whose content is free.
 */
function trackReads(object: object): {
  readonly tracked: unknown;
  /** The paths of fields that were not read, in objects of which another field was read. */
  findUnreadFields(): string[];
} {
  const objects: ReadObject[] = [];
  return {
    tracked: wrap(object, '', objects),
    findUnreadFields: () =>
      objects
        .filter(({ read }) => read.size > 0)
        .flatMap(({ path, keys, read }) => keys.filter((key) => !read.has(key)).map((key) => path + key)),
  };
}

function wrap(value: unknown, path: string, objects: ReadObject[]): unknown {
  if (Array.isArray(value)) {
    return value.map((item, index) => wrap(item, `${path}${index}.`, objects));
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  const keys = Object.keys(value);
  const read = new Set<PropertyKey>();
  objects.push({ path, keys, read });
  const fields = Object.entries(value).map(([key, field]) => [key, wrap(field, `${path}${key}.`, objects)]);
  return new Proxy(Object.fromEntries(fields), {
    get: (target, key) => {
      read.add(key);
      return Reflect.get(target, key);
    },
    ownKeys: (target) => {
      for (const key of keys) {
        read.add(key);
      }
      return Reflect.ownKeys(target);
    },
  });
}
