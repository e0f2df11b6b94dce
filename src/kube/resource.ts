// A resource to list and watch, and helpers to parse object metadata.
import { isObject } from '../util/json.ts';

/** The identity of an object. A field that its metadata lacks is an empty string. */
export interface ObjectIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** A resource of the API, and how its objects are parsed. */
export interface Resource<T> {
  /** Its name in errors, for example `Secrets named x`. */
  readonly noun: string;
  /** For example `/api/v1/secrets` for all namespaces. */
  readonly path: string;
  /** Query parameters, such as selectors. */
  readonly query: Readonly<Record<string, string>>;
  /** The `Accept` headers of a list and of a watch. */
  readonly accept: { readonly list: string; readonly watch: string };
  /**
   * Parses an object and keeps what is needed. Returns undefined if the object is not selected. If it throws, the object is
   * rejected; see {@link ResourceEventHandler.reject}.
   */
  parseItem(object: unknown): T | undefined;
}

/**
 * Receives the events of an informer, in the order of the changes on the API server. If `set` or `remove` throws, only that
 * object is reported and rejected, and the watch continues.
 */
export interface ResourceEventHandler<T> {
  /** Called after a list with all items. Each of them has been passed to `set` before. */
  replace(items: readonly T[]): void;
  /** Called for a new or changed object, and for each object of a list. */
  set(item: T): void;
  /** Called for an object that has been deleted or is no longer selected, as of this resourceVersion. */
  remove(object: ObjectIdentity, resourceVersion: string): void;
  /** Called for an object that could not be parsed, or for which `set` threw. It counts as unmanaged. */
  reject?(object: ObjectIdentity): void;
}

/**
 * Returns the path of a resource of the core group, such as `pods`.
 * @param namespace undefined: all namespaces
 */
export function getResourcePath(resource: string, namespace?: string): string {
  return namespace === undefined
    ? `/api/v1/${resource}`
    : `/api/v1/namespaces/${encodeURIComponent(namespace)}/${resource}`;
}

/** Returns the path of an object of the core group. */
export function getObjectPath(resource: string, namespace: string, name: string): string {
  return `${getResourcePath(resource, namespace)}/${encodeURIComponent(name)}`;
}

export const webhookConfigurationsPath =
  '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

const acceptJson = 'application/json';

/** Whole objects. */
export const acceptObjects = { list: acceptJson, watch: acceptJson };

/** Metadata only. https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches */
export const acceptMetadata = {
  list: `${acceptJson};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1`,
  watch: `${acceptJson};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`,
};

/** Returns the entries of an object whose values are strings. */
export function pickStrings(value: unknown): Record<string, string> {
  if (!isObject(value)) {
    return {};
  }
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** Returns the entries of an object whose keys are given and whose values are strings. */
export function pickKeys(value: unknown, keys: ReadonlySet<string>): Record<string, string> {
  return Object.fromEntries(Object.entries(pickStrings(value)).filter(([key]) => keys.has(key)));
}

/** Returns the `metadata` of an object, or an empty object if it has none. */
export function getMetadata(object: unknown): Record<string, unknown> {
  return isObject(object) && isObject(object['metadata']) ? object['metadata'] : {};
}
