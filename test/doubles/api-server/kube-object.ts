// Kubernetes objects of the API stand-in.
import { apiVersionOf, type Target } from './api-resources.ts';
import { badRequest, type StatusError } from './api-status-error.ts';

/** An entry of `metadata.managedFields`: who set which fields. */
export interface ManagedFields {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  time: string;
  fieldsType: 'FieldsV1';
  fieldsV1: Record<string, unknown>;
}

/** An object of the API, as it is stored. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    creationTimestamp: string;
    deletionTimestamp?: string;
    generateName?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    managedFields?: ManagedFields[];
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

/** Whether this is a JSON object: no array, not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value where it is an object, else an empty one. */
export function objectOr(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

/** The values where it is an array, else none. */
export function arrayOr(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The string entries of a map, such as labels. */
export function stringsOf(value: unknown): Record<string, string> {
  const entries = Object.entries(objectOr(value));
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** An answer of 400 for a body that is no object of the API. */
function malformed(what: string): StatusError {
  return badRequest(`the body of the request is malformed: ${what}`);
}

function isTexts(value: unknown): boolean {
  return (
    value === undefined || (isObject(value) && Object.values(value).every((one) => typeof one === 'string'))
  );
}

function isKubeObject(value: Record<string, unknown>): value is KubeObject {
  const { apiVersion, kind, metadata } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || !isObject(metadata)) {
    return false;
  }
  const { name, uid, resourceVersion, creationTimestamp, labels, annotations } = metadata;
  return (
    [name, uid, resourceVersion, creationTimestamp].every((text) => typeof text === 'string') &&
    isTexts(labels) &&
    isTexts(annotations)
  );
}

/** The value, having looked that it has the form of an object. @throws {StatusError} 400 */
export function checkedObject(value: Record<string, unknown>): KubeObject {
  if (!isKubeObject(value)) {
    throw malformed('apiVersion, kind or metadata');
  }
  return value;
}

/**
 * Makes the object that a request's body describes, with the identity that the path gives it and nothing that only
 * the server sets.
 *
 * @throws {StatusError} 400 where body and path disagree, or the body is no object
 */
export function objectFrom(body: unknown, { resource, namespace, name }: Target): KubeObject {
  if (!isObject(body) || !isObject(body['metadata'] ?? {})) {
    throw malformed('no object');
  }
  const { apiVersion = apiVersionOf(resource), kind = resource.kind } = body;
  if (apiVersion !== apiVersionOf(resource) || kind !== resource.kind) {
    throw badRequest(
      `no kind ${JSON.stringify(kind)} of ${JSON.stringify(apiVersion)} is known at this path`,
    );
  }
  const { metadata: given, ...rest } = body;
  const { managedFields: _, ...metadata } = objectOr(given);
  if (name !== undefined && (metadata['name'] ?? name) !== name) {
    throw badRequest(
      `the name of the object (${metadata['name']}) does not match the name on the URL (${name})`,
    );
  }
  if (namespace !== undefined && (metadata['namespace'] ?? namespace) !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  const empty = { uid: '', resourceVersion: '', creationTimestamp: '', name: name ?? '' };
  const placed = { ...empty, ...metadata, ...(namespace !== undefined && { namespace }) };
  return checkedObject({ ...rest, apiVersion, kind, metadata: placed });
}
