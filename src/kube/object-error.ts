// Objects of the cluster that cannot be parsed, and how they are reported.

import { LRUCache } from 'lru-cache';
import type { ObjectIdentity, Resource } from './resource.ts';
import { getMetadata } from './resource.ts';

/** Objects that are remembered as reported; past them the least recently seen one is reported anew. */
const maxReported = 1_000;

/** Characters of an object's name, and of what was thrown, in a message. */
const maxNameLength = 253;
const maxDetailLength = 200;

/** An object of the cluster could not be parsed. It is treated as unmanaged; the others are not affected. */
export class ObjectError extends Error {
  override readonly name = 'ObjectError';
  readonly code = 'unreadable-object';
  /** The collection: `secrets`. */
  readonly resource: string;
  readonly namespace: string;
  readonly objectName: string;

  /** @param cause what was thrown: by our own code, which has seen the metadata of pull Secrets only */
  constructor(resource: string, { namespace, name }: ObjectIdentity, cause: unknown) {
    const id = [namespace, name].map((part) => part.slice(0, maxNameLength)).join('/');
    super(`cannot parse ${resource} ${id}: ${describeCause(cause)}; it is treated as unmanaged`);
    this.resource = resource;
    this.namespace = namespace.slice(0, maxNameLength);
    this.objectName = name.slice(0, maxNameLength);
  }
}

/** What an object's metadata says of which one it is. Never throws. */
export function getObjectIdentity(object: unknown): ObjectIdentity {
  const { namespace, name, uid, resourceVersion } = getMetadata(object);
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return {
    namespace: text(namespace),
    name: text(name),
    uid: text(uid),
    resourceVersion: text(resourceVersion),
  };
}

/**
 * Makes the function that reports unreadable objects of a resource: each once, by namespace and name, however often it
 * is seen. Never throws.
 */
export function createOnceReporter(
  { path }: Pick<Resource<unknown>, 'path'>,
  onObjectError: (error: ObjectError) => void,
): (identity: ObjectIdentity, cause: unknown) => void {
  const resource = path.slice(path.lastIndexOf('/') + 1);
  const reported = new LRUCache<string, true>({ max: maxReported });
  return (identity, cause) => {
    const key = `${identity.namespace}/${identity.name}`;
    const known = reported.get(key) === true;
    reported.set(key, true);
    if (known) return;
    try {
      onObjectError(new ObjectError(resource, identity, cause));
    } catch {
      // Whoever counts or logs failures must not become one.
    }
  };
}

function describeCause(cause: unknown): string {
  return cause instanceof Error
    ? `${cause.name}: ${cause.message}`.slice(0, maxDetailLength)
    : `something was thrown of type ${typeof cause}`;
}
