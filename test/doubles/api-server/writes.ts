// Writes of the API stand-in: admission, validation, managedFields and storage of created, changed and deleted objects.
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  namespaceResource,
  podResource,
  secretResource,
  type Target,
  webhookResource,
} from './api-resources.ts';
import {
  createBadRequest,
  createConflict,
  createForbidden,
  createNotFound,
  modifiedMessage,
  StatusError,
} from './api-status-error.ts';
import { type KubeObject, parseObject, toObject } from './kube-object.ts';
import {
  completeSecret,
  validatePod,
  validatePodUpdate,
  validateSecret,
  withEphemeralContainers,
} from './object-validation.ts';
import { applyPatch } from './patching.ts';
import type { User } from './rbac.ts';
import { recordUpdate } from './server-side-apply.ts';
import type { Store } from './store.ts';
import type { Admission } from './webhook-admission.ts';
import { validateWebhooks } from './webhook-selection.ts';

/** A request that creates, changes or deletes an object. */
export interface Write {
  target: Target;
  query: URLSearchParams;
  user: User;
  userAgent: string;
  contentType: string;
  body: string;
}

/** The response to a write. */
export interface WriteResult {
  status: number;
  body: object;
  warnings: string[];
}

// Like the real API server, a patch that conflicts with another write is repeated on the new version.
const maxPatchAttempts = 5;

const isDryRun = ({ query }: Write): boolean => query.get('dryRun') === 'All';

const getManager = ({ query, userAgent }: Write): string =>
  query.get('fieldManager') ?? userAgent.split('/')[0] ?? 'unknown';

function parseJsonBody({ body }: Write): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw createBadRequest('the body of the request is not JSON');
  }
}

/** Creates, changes and deletes objects, and calls the webhooks. */
export class Writes {
  readonly #store: Store;
  readonly #admission: Admission;

  constructor(store: Store, admission: Admission) {
    this.#store = store;
    this.#admission = admission;
  }

  async create(write: Write): Promise<WriteResult> {
    const object = parseObject(parseJsonBody(write), write.target);
    const created =
      write.target.resource === podResource ? { ...object, status: { phase: 'Pending' } } : object;
    return await this.#save(write, undefined, created, true);
  }

  async replace(write: Write): Promise<WriteResult> {
    const { target } = write;
    const object = parseObject(parseJsonBody(write), target);
    const live = this.#store.mustGet(target.resource, target.namespace, target.name ?? '');
    const { uid, resourceVersion, creationTimestamp } = live.metadata;
    const metadata = object.metadata;
    if (metadata.resourceVersion !== '' && metadata.resourceVersion !== resourceVersion) {
      throw createConflict(target.resource, metadata.name, modifiedMessage);
    }
    const newObject = { ...object, metadata: { ...metadata, uid, resourceVersion, creationTimestamp } };
    return await this.#save(write, live, newObject, true);
  }

  async patch(write: Write): Promise<WriteResult> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#patchOnce(write);
      } catch (error) {
        if (
          attempt === maxPatchAttempts ||
          !(error instanceof StatusError) ||
          !error.message.endsWith(modifiedMessage)
        ) {
          throw error;
        }
      }
    }
  }

  /** Deletes an object. A namespace stays Terminating, because there is no controller to finish its deletion. */
  remove(write: Write): WriteResult {
    const { resource, namespace, name = '' } = write.target;
    const live = this.#store.mustGet(resource, namespace, name);
    checkPreconditions(write, live);
    if (resource === namespaceResource) {
      const metadata = { ...live.metadata, deletionTimestamp: new Date().toISOString() };
      const body = this.#store.update(resource, live, {
        ...live,
        metadata,
        status: { phase: 'Terminating' },
      });
      return { status: 200, body, warnings: [] };
    }
    this.#store.delete(resource, live);
    const details = { name, kind: resource.resource, uid: live.metadata.uid };
    return {
      status: 200,
      body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details },
      warnings: [],
    };
  }

  async #patchOnce(write: Write): Promise<WriteResult> {
    const { target } = write;
    const name = target.name ?? '';
    const live = this.#store.get(target.resource, target.namespace, name);
    const object = applyPatch(write, name, live);
    if (live !== undefined && object === live) {
      return { status: 200, body: live, warnings: [] };
    }
    return await this.#save(write, live, object, write.contentType !== 'application/apply-patch+yaml');
  }

  async #save(
    write: Write,
    live: KubeObject | undefined,
    newObject: KubeObject,
    isUpdate: boolean,
  ): Promise<WriteResult> {
    const { target, user } = write;
    this.#checkNamespace(target, live === undefined);
    const dryRun = isDryRun(write);
    const { object: admitted, warnings } = await this.#admission.admit({
      operation: live === undefined ? 'CREATE' : 'UPDATE',
      target,
      user,
      object: newObject,
      ...(live !== undefined && { oldObject: live }),
      dryRun,
    });
    const valid = completeAndValidate(target, admitted, live);
    const object = isUpdate ? recordUpdate(live, valid, getManager(write)) : valid;
    const status = live === undefined ? 201 : 200;
    const unchanged = live !== undefined && isDeepStrictEqual(object, live);
    if (dryRun || unchanged) {
      return { status, body: object, warnings };
    }
    const { resource } = target;
    const body =
      live === undefined ? this.#store.create(resource, object) : this.#store.update(resource, live, object);
    return { status, body, warnings };
  }

  #checkNamespace({ resource, namespace, name }: Target, isCreate: boolean): void {
    if (namespace === undefined) {
      return;
    }
    const parent = this.#store.get(namespaceResource, undefined, namespace);
    if (parent === undefined) {
      throw createNotFound(namespaceResource, namespace);
    }
    if (!isCreate || parent.metadata.deletionTimestamp === undefined) {
      return;
    }
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const message = `namespace ${namespace} is being terminated`;
    throw createForbidden(resource, name, why, [
      { reason: 'NamespaceTerminating', message, field: 'metadata.namespace' },
    ]);
  }
}

/** Checks the `preconditions` of DeleteOptions. @throws {StatusError} 409 */
function checkPreconditions(write: Write, live: KubeObject): void {
  if (write.body === '') {
    return;
  }
  const { uid, resourceVersion } = toObject(toObject(parseJsonBody(write))['preconditions']);
  const isMet = (required: unknown, actual: unknown): boolean =>
    required === undefined || required === actual;
  if (isMet(uid, live.metadata.uid) && isMet(resourceVersion, live.metadata.resourceVersion)) {
    return;
  }
  throw createConflict(write.target.resource, live.metadata.name, 'Precondition failed');
}

function generateName(object: KubeObject): KubeObject {
  const { name, generateName } = object.metadata;
  if (name !== '' || generateName === undefined) {
    return object;
  }
  return {
    ...object,
    metadata: { ...object.metadata, name: `${generateName}${randomBytes(3).toString('hex').slice(0, 5)}` },
  };
}

/** Sets defaults and a generated name, and validates the object. @throws {StatusError} 422 */
function completeAndValidate(
  { resource, subresource }: Target,
  object: KubeObject,
  old: KubeObject | undefined,
): KubeObject {
  const namedObject = generateName(object);
  if (resource === secretResource) {
    const secret = completeSecret(namedObject);
    validateSecret(secret, old);
    return secret;
  }
  if (resource === podResource) {
    if (old === undefined) {
      validatePod(namedObject);
    } else if (subresource === 'ephemeralcontainers') {
      return withEphemeralContainers(namedObject, old);
    } else {
      validatePodUpdate(namedObject, old);
    }
  }
  if (resource === webhookResource) {
    validateWebhooks(namedObject);
  }
  if (resource !== namespaceResource || old !== undefined) {
    return namedObject;
  }
  const labels = { ...namedObject.metadata.labels, 'kubernetes.io/metadata.name': namedObject.metadata.name };
  return {
    ...namedObject,
    metadata: { ...namedObject.metadata, labels },
    status: { phase: 'Active', ...toObject(namedObject['status']) },
  };
}
