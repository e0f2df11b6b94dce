import { type FieldOwner, fieldOwners } from './field-owners.ts';
import { isRecord } from './records.ts';
import type { ObjectIdentity } from './resource.ts';

/** What the watch tells about one Secret: no data. */
export interface SecretMetadata {
  namespace: string;
  uid: string;
  resourceVersion: string;
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  /** Who was the last to set which key. */
  owners: readonly FieldOwner[];
}

/** Where the watch puts what it sees. Its methods are called in the order of the API server's changes. */
export interface SecretMetadataSink {
  /** These are all there are: after a list. */
  replace(items: readonly SecretMetadata[]): void;
  /** This one is new or changed. */
  set(item: SecretMetadata): void;
  /** The namespace's Secret is gone as of this resourceVersion. */
  remove(namespace: string, resourceVersion: string): void;
  /** The namespace's Secret could not be read: it counts as unmanaged. */
  reject?(object: ObjectIdentity): void;
}

/** The texts of an object whose values should be texts. */
export function texts(value: unknown): Record<string, string> {
  if (!isRecord(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** The `metadata` of an object, or an empty one where the value is no object. */
export function metadataOf(object: unknown): Record<string, unknown> {
  return isRecord(object) && isRecord(object['metadata']) ? object['metadata'] : {};
}

/** Keeps of a PartialObjectMetadata what {@link SecretMetadata} has; undefined where it is none. */
export function secretMetadata(object: unknown): SecretMetadata | undefined {
  const { namespace, uid, resourceVersion, labels, annotations, managedFields } = metadataOf(object);
  if (typeof namespace !== 'string' || typeof uid !== 'string' || typeof resourceVersion !== 'string') {
    return undefined;
  }
  const owners = fieldOwners(managedFields);
  return { namespace, uid, resourceVersion, labels: texts(labels), annotations: texts(annotations), owners };
}
