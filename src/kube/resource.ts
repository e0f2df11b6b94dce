import { isObject } from '../util/json.ts';

/** Which object something is about, as far as its metadata says; empty where it does not. */
export interface ObjectIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** A collection of the API, and what is kept of its objects. */
export interface Resource<T> {
  /** What it is called in errors: `Secrets named x`. */
  readonly noun: string;
  /** `/api/v1/secrets`: in all namespaces. */
  readonly path: string;
  /** Selectors, as the API takes them. */
  readonly query: Readonly<Record<string, string>>;
  /** `Accept` of a list, and of a watch. */
  readonly accept: { readonly list: string; readonly watch: string };
  /** Keeps of an object what is needed; undefined where it is none of these. Should not throw: see {@link ResourceEventHandler.reject}. */
  parseItem(object: unknown): T | undefined;
}

/**
 * Where a watch puts what it sees. Its methods are called in the order of the API server's changes. A throw from `set`
 * or `remove` concerns the one object: it is reported and rejected, and the watch goes on.
 */
export interface ResourceEventHandler<T> {
  /** These are all there are: after a list, of which each has been passed to `set` before. */
  replace(items: readonly T[]): void;
  /** This one is new or changed, or is part of a list that is still being read. */
  set(item: T): void;
  /** This one is gone as of this resourceVersion, or no longer selected. */
  remove(object: ObjectIdentity, resourceVersion: string): void;
  /** This one could not be read, or `set` threw for it: it counts as unmanaged. */
  reject?(object: ObjectIdentity): void;
}

const acceptJson = 'application/json';

/** Whole objects. */
export const acceptObjects = { list: acceptJson, watch: acceptJson };

/** Metadata only. https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches */
export const acceptMetadata = {
  list: `${acceptJson};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1`,
  watch: `${acceptJson};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`,
};

/** The texts of an object whose values should be texts. */
export function pickStrings(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** The `metadata` of an object, or an empty one where the value is no object. */
export function getMetadata(object: unknown): Record<string, unknown> {
  return isObject(object) && isObject(object['metadata']) ? object['metadata'] : {};
}
