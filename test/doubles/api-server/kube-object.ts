// The type of stored Kubernetes objects, and parsing request bodies as such.
import { getApiVersion, type Target } from './api-resources.ts';
import { createBadRequest, type StatusError } from './api-status-error.ts';

/** An entry of `metadata.managedFields`: the fields that a manager owns. */
export interface ManagedFields {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  time: string;
  fieldsType: 'FieldsV1';
  fieldsV1: Record<string, unknown>;
}

/** An object of the API in its stored form. */
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

/** Whether the value is a JSON object, not an array or null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the value if it is an object, otherwise an empty object. */
export function toObject(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

/** Returns the value if it is an array, otherwise an empty array. */
export function toArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Returns the entries of a map whose values are strings, such as labels. */
export function getStringEntries(value: unknown): Record<string, string> {
  const entries = Object.entries(toObject(value));
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** 400 for a body that is not an object of the API. */
function createMalformed(what: string): StatusError {
  return createBadRequest(`the body of the request is malformed: ${what}`);
}

function isOptionalStringMap(value: unknown): boolean {
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
    isOptionalStringMap(labels) &&
    isOptionalStringMap(annotations)
  );
}

/** Returns the value if it has the form of an object. @throws {StatusError} 400 if not */
export function checkObject(value: Record<string, unknown>): KubeObject {
  if (!isKubeObject(value)) {
    throw createMalformed('apiVersion, kind or metadata');
  }
  return value;
}

/**
 * Parses the object in the body of a request. Its identity comes from the path, and fields that only the server sets are
 * removed.
 *
 * @throws {StatusError} 400 if body and path differ, or the body is not an object
 */
export function parseObject(body: unknown, { resource, namespace, name }: Target): KubeObject {
  if (!isObject(body) || !isObject(body['metadata'] ?? {})) {
    throw createMalformed('not an object');
  }
  const { apiVersion = getApiVersion(resource), kind = resource.kind } = body;
  if (apiVersion !== getApiVersion(resource) || kind !== resource.kind) {
    throw createBadRequest(
      `no kind ${JSON.stringify(kind)} of ${JSON.stringify(apiVersion)} is known at this path`,
    );
  }
  const { metadata: bodyMetadata, ...rest } = body;
  const { managedFields: _, ...metadata } = toObject(bodyMetadata);
  if (name !== undefined && (metadata['name'] ?? name) !== name) {
    throw createBadRequest(
      `the name of the object (${metadata['name']}) does not match the name on the URL (${name})`,
    );
  }
  if (namespace !== undefined && (metadata['namespace'] ?? namespace) !== namespace) {
    throw createBadRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
  const empty = { uid: '', resourceVersion: '', creationTimestamp: '', name: name ?? '' };
  const objectMetadata = { ...empty, ...metadata, ...(namespace !== undefined && { namespace }) };
  return checkObject({ ...rest, apiVersion, kind, metadata: objectMetadata });
}
