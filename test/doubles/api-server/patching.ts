// Patches of the API stand-in: JSON patch, merge patch and apply.
import jsonPatch, { type Operation } from 'fast-json-patch';
import { parse } from 'yaml';
import { secretResource, type Target } from './api-resources.ts';
import {
  createBadRequest,
  createConflict,
  createInvalid,
  createNotFound,
  modifiedMessage,
  StatusError,
} from './api-status-error.ts';
import { isObject, type KubeObject, parseObject, toObject } from './kube-object.ts';
import { completeSecret } from './object-validation.ts';
import { applyObject } from './server-side-apply.ts';

/** A PATCH request. */
export interface Patch {
  target: Target;
  query: URLSearchParams;
  contentType: string;
  body: string;
}

function parseBody(body: string): unknown {
  try {
    // JSON is valid YAML, but parsing it as JSON is quicker.
    return body.startsWith('{') || body.startsWith('[') ? JSON.parse(body) : parse(body);
  } catch {
    throw createBadRequest('the body of the request is neither JSON nor YAML');
  }
}

function checkIdentity(
  target: Target,
  name: string,
  applied: Record<string, unknown>,
  live: KubeObject | undefined,
): void {
  const { uid, resourceVersion, managedFields } = toObject(applied['metadata']);
  if (managedFields !== undefined) {
    throw createBadRequest('metadata.managedFields must be nil');
  }
  if (live === undefined) {
    if (uid === undefined) {
      return;
    }
    const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
    throw createConflict(target.resource, name, why);
  }
  if (resourceVersion !== undefined && resourceVersion !== live.metadata.resourceVersion) {
    throw createConflict(target.resource, name, modifiedMessage);
  }
  if (uid !== undefined && uid !== live.metadata.uid) {
    const message = `Invalid value: "${uid}": field is immutable`;
    throw createInvalid(target.resource, name, [
      { reason: 'FieldValueInvalid', message, field: 'metadata.uid' },
    ]);
  }
}

function serverSideApply(
  { target, query, body }: Patch,
  name: string,
  live: KubeObject | undefined,
): KubeObject {
  if (target.resource !== secretResource) {
    throw new StatusError(
      415,
      'UnsupportedMediaType',
      'this stand-in supports server-side apply for Secrets only',
    );
  }
  const manager = query.get('fieldManager') ?? '';
  if (manager === '') {
    const cause = {
      reason: 'FieldValueRequired',
      message: 'Required value: is required for apply patch',
      field: 'fieldManager',
    };
    throw createInvalid({ ...target.resource, kind: 'PatchOptions.meta.k8s.io' }, '', [cause]);
  }
  const applied = parseBody(body);
  if (!isObject(applied) || applied['kind'] === undefined || applied['apiVersion'] === undefined) {
    throw createBadRequest("Object 'Kind' or 'apiVersion' is missing");
  }
  checkIdentity(target, name, applied, live);
  const secret = completeSecret(parseObject(applied, target));
  // Fields that the server sets have no owner.
  const owned = { ...secret, type: applied['type'] };
  const base = live ?? parseObject({ type: secret['type'] }, target);
  const force = query.get('force') === 'true';
  return applyObject({ live: base, applied: owned, manager: { name: manager, operation: 'Apply' }, force });
}

/** JSON Merge Patch, RFC 7396. */
function mergePatch(base: unknown, patch: unknown): unknown {
  if (!isObject(patch)) {
    return patch;
  }
  const result = { ...toObject(base) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      delete result[key];
    } else {
      result[key] = mergePatch(result[key], value);
    }
  }
  return result;
}

function isOperation(value: unknown): value is Operation {
  return isObject(value) && typeof value['op'] === 'string' && typeof value['path'] === 'string';
}

/** Applies a JSON patch (RFC 6902) to a copy. Throws if the patch is invalid or does not apply. */
export function applyJsonPatch(base: object, patch: unknown): unknown {
  if (!Array.isArray(patch) || !patch.every(isOperation)) {
    throw new Error('not a list of operations');
  }
  return jsonPatch.applyPatch(structuredClone(base), patch, true).newDocument;
}

/**
 * Patches the live object: with server-side apply for Secrets, and with JSON patch and merge patch for all kinds.
 *
 * @param live undefined if the object does not exist
 * @returns the same `live` if an apply changes nothing
 * @throws {StatusError} 404 if there is nothing to patch, 409 for a conflict, 415 for another content type
 */
export function applyPatch(patch: Patch, name: string, live: KubeObject | undefined): KubeObject {
  const { target, contentType, body } = patch;
  if (contentType === 'application/apply-patch+yaml') {
    return serverSideApply(patch, name, live);
  }
  if (live === undefined) {
    throw createNotFound(target.resource, name);
  }
  const { managedFields } = live.metadata;
  const keep = (object: KubeObject): KubeObject =>
    managedFields === undefined ? object : { ...object, metadata: { ...object.metadata, managedFields } };
  if (contentType === 'application/merge-patch+json') {
    return keep(parseObject(mergePatch(live, parseBody(body)), target));
  }
  if (contentType === 'application/json-patch+json') {
    try {
      return keep(parseObject(applyJsonPatch(live, parseBody(body)), target));
    } catch {
      throw new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request');
    }
  }
  throw new StatusError(
    415,
    'UnsupportedMediaType',
    `this stand-in does not support the patch type ${contentType}`,
  );
}
