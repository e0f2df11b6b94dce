// Patches of the API stand-in: JSON patch, merge patch and apply.
import jsonPatch, { type Operation } from 'fast-json-patch';
import { parse } from 'yaml';
import { secretResource, type Target } from './api-resources.ts';
import { badRequest, conflict, invalid, modifiedMessage, notFound, StatusError } from './api-status-error.ts';
import { isObject, type KubeObject, objectFrom, objectOr } from './kube-object.ts';
import { completeSecret } from './object-validation.ts';
import { applyObject } from './server-side-apply.ts';

/** A PATCH request. */
export interface Patch {
  target: Target;
  query: URLSearchParams;
  contentType: string;
  body: string;
}

function parsed(body: string): unknown {
  try {
    // Every JSON text is YAML too; a machine's apply is mostly JSON, which is quicker to read.
    return body.startsWith('{') || body.startsWith('[') ? JSON.parse(body) : parse(body);
  } catch {
    throw badRequest('the body of the request is neither JSON nor YAML');
  }
}

function checkIdentity(
  target: Target,
  name: string,
  sent: Record<string, unknown>,
  live: KubeObject | undefined,
): void {
  const { uid, resourceVersion, managedFields } = objectOr(sent['metadata']);
  if (managedFields !== undefined) {
    throw badRequest('metadata.managedFields must be nil');
  }
  if (live === undefined) {
    if (uid === undefined) {
      return;
    }
    const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
    throw conflict(target.resource, name, why);
  }
  if (resourceVersion !== undefined && resourceVersion !== live.metadata.resourceVersion) {
    throw conflict(target.resource, name, modifiedMessage);
  }
  if (uid !== undefined && uid !== live.metadata.uid) {
    const message = `Invalid value: "${uid}": field is immutable`;
    throw invalid(target.resource, name, [{ reason: 'FieldValueInvalid', message, field: 'metadata.uid' }]);
  }
}

function serverSideApply(
  { target, query, body }: Patch,
  name: string,
  live: KubeObject | undefined,
): KubeObject {
  if (target.resource !== secretResource) {
    throw new StatusError(415, 'UnsupportedMediaType', 'this stand-in applies Secrets only');
  }
  const manager = query.get('fieldManager') ?? '';
  if (manager === '') {
    const cause = {
      reason: 'FieldValueRequired',
      message: 'Required value: is required for apply patch',
      field: 'fieldManager',
    };
    throw invalid({ ...target.resource, kind: 'PatchOptions.meta.k8s.io' }, '', [cause]);
  }
  const sent = parsed(body);
  if (!isObject(sent) || sent['kind'] === undefined || sent['apiVersion'] === undefined) {
    throw badRequest("Object 'Kind' or 'apiVersion' is missing");
  }
  checkIdentity(target, name, sent, live);
  const whole = completeSecret(objectFrom(sent, target));
  // Fields that the server sets have no owner.
  const own = { ...whole, type: sent['type'] };
  const base = live ?? objectFrom({ type: whole['type'] }, target);
  const force = query.get('force') === 'true';
  return applyObject({ live: base, sent: own, manager: { name: manager, operation: 'Apply' }, force });
}

/** JSON Merge Patch, RFC 7396. */
function mergePatch(base: unknown, patch: unknown): unknown {
  if (!isObject(patch)) {
    return patch;
  }
  const result = { ...objectOr(base) };
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

/** Applies a JSON patch (RFC 6902) to a copy. Throws where it is none, or does not apply. */
export function applyJsonPatch(base: object, patch: unknown): unknown {
  if (!Array.isArray(patch) || !patch.every(isOperation)) {
    throw new Error('it is no list of operations');
  }
  return jsonPatch.applyPatch(structuredClone(base), patch, true).newDocument;
}

/**
 * The object that a PATCH makes of the live one (undefined: there is none): server-side apply for Secrets, JSON patch
 * and merge patch for all.
 *
 * @returns the live object itself where an apply changes nothing
 * @throws {StatusError} 404 for a patch of nothing, 409 for a conflict, 415 for another content type
 */
export function applyPatch(patch: Patch, name: string, live: KubeObject | undefined): KubeObject {
  const { target, contentType, body } = patch;
  if (contentType === 'application/apply-patch+yaml') {
    return serverSideApply(patch, name, live);
  }
  if (live === undefined) {
    throw notFound(target.resource, name);
  }
  const { managedFields } = live.metadata;
  const keep = (object: KubeObject): KubeObject =>
    managedFields === undefined ? object : { ...object, metadata: { ...object.metadata, managedFields } };
  if (contentType === 'application/merge-patch+json') {
    return keep(objectFrom(mergePatch(live, parsed(body)), target));
  }
  if (contentType === 'application/json-patch+json') {
    try {
      return keep(objectFrom(applyJsonPatch(live, parsed(body)), target));
    } catch {
      throw new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request');
    }
  }
  throw new StatusError(415, 'UnsupportedMediaType', `this stand-in knows no patch of type ${contentType}`);
}
