// The error for an object that cannot be parsed, reported once per object.
import { LRUCache } from 'lru-cache';
import { toText } from '../util/json.ts';
import type { ObjectIdentity, Resource } from './resource.ts';
import { getMetadata } from './resource.ts';

/** Number of objects remembered as reported. Beyond it, the least recently seen ones may be reported again. */
const maxReported = 1_000;

/** Maximum length of an object's name, and of the cause, in a message. */
const maxNameLength = 253;
const maxDetailLength = 200;

/** An object of the cluster could not be parsed. It is treated as unmanaged; the others are not affected. */
export class ObjectError extends Error {
  override readonly name = 'ObjectError';
  readonly code = 'invalid-object';
  /** The resource, for example `secrets`. */
  readonly resource: string;
  readonly namespace: string;
  readonly objectName: string;

  /** @param cause thrown by code of this program, which receives only metadata of pull Secrets */
  constructor(resource: string, { namespace, name }: ObjectIdentity, cause: unknown) {
    const id = [namespace, name].map((part) => part.slice(0, maxNameLength)).join('/');
    super(`cannot parse ${resource} ${id}: ${describeCause(cause)}; it is treated as unmanaged`);
    this.resource = resource;
    this.namespace = namespace.slice(0, maxNameLength);
    this.objectName = name.slice(0, maxNameLength);
  }
}

/** Returns the identity of an object from its metadata. Never throws. */
export function getObjectIdentity(object: unknown): ObjectIdentity {
  const { namespace, name, uid, resourceVersion } = getMetadata(object);
  return {
    namespace: toText(namespace),
    name: toText(name),
    uid: toText(uid),
    resourceVersion: toText(resourceVersion),
  };
}

/**
 * Creates a function that reports each object of a resource that cannot be parsed, once per namespace and name. The function
 * never throws.
 */
export function createOnceReporter(
  { path }: Pick<Resource<unknown>, 'path'>,
  onObjectError: (error: ObjectError) => void,
): (identity: ObjectIdentity, cause: unknown) => void {
  const resource = path.slice(path.lastIndexOf('/') + 1);
  const reported = new LRUCache<string, true>({ max: maxReported });
  return (identity, cause) => {
    const key = `${identity.namespace}/${identity.name}`;
    const isReported = reported.get(key) === true;
    reported.set(key, true);
    if (isReported) {
      return;
    }
    try {
      onObjectError(new ObjectError(resource, identity, cause));
    } catch {
      // An error while reporting a failure must not cause another failure.
    }
  };
}

function describeCause(cause: unknown): string {
  return cause instanceof Error
    ? `${cause.name}: ${cause.message}`.slice(0, maxDetailLength)
    : `a value of type ${typeof cause} was thrown`;
}
