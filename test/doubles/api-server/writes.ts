// Creates, changes and deletes objects of the API stand-in.
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
  badRequest,
  conflict,
  forbidden,
  modifiedMessage,
  notFound,
  StatusError,
} from './api-status-error.ts';
import { type KubeObject, objectFrom, objectOr } from './kube-object.ts';
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

/** A request that changes something. */
export interface Write {
  target: Target;
  query: URLSearchParams;
  user: User;
  userAgent: string;
  contentType: string;
  body: string;
}

/** What it came to. */
export interface Written {
  status: number;
  body: object;
  warnings: string[];
}

// As the real one: a patch that met another write is made again on what is there now.
const maxPatchAttempts = 5;

const isDryRun = ({ query }: Write): boolean => query.get('dryRun') === 'All';

const managerOf = ({ query, userAgent }: Write): string =>
  query.get('fieldManager') ?? userAgent.split('/')[0] ?? 'unknown';

function bodyOf({ body }: Write): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw badRequest('the body of the request is no JSON');
  }
}

/** Creates, changes and deletes objects, by way of the webhooks. */
export class Writes {
  readonly #store: Store;
  readonly #admission: Admission;

  constructor(store: Store, admission: Admission) {
    this.#store = store;
    this.#admission = admission;
  }

  async create(write: Write): Promise<Written> {
    return await this.#save(write, undefined, objectFrom(bodyOf(write), write.target), true);
  }

  async replace(write: Write): Promise<Written> {
    const { target } = write;
    const object = objectFrom(bodyOf(write), target);
    const live = this.#store.mustGet(target.resource, target.namespace, target.name ?? '');
    const { uid, resourceVersion, creationTimestamp } = live.metadata;
    const given = object.metadata;
    if (given.resourceVersion !== '' && given.resourceVersion !== resourceVersion) {
      throw conflict(target.resource, given.name, modifiedMessage);
    }
    const whole = { ...object, metadata: { ...given, uid, resourceVersion, creationTimestamp } };
    return await this.#save(write, live, whole, true);
  }

  async patch(write: Write): Promise<Written> {
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

  /** A namespace only starts to terminate: what would finish it, the controller manager, is not there. */
  remove(write: Write): Written {
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

  async #patchOnce(write: Write): Promise<Written> {
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
    sent: KubeObject,
    isUpdate: boolean,
  ): Promise<Written> {
    const { target, user } = write;
    this.#checkNamespace(target, live === undefined);
    const dryRun = isDryRun(write);
    const { object: admitted, warnings } = await this.#admission.admit({
      operation: live === undefined ? 'CREATE' : 'UPDATE',
      target,
      user,
      object: sent,
      ...(live !== undefined && { oldObject: live }),
      dryRun,
    });
    const valid = validated(target, admitted, live);
    const object = isUpdate ? recordUpdate(live, valid, managerOf(write)) : valid;
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

  #checkNamespace({ resource, namespace, name }: Target, creating: boolean): void {
    if (namespace === undefined) {
      return;
    }
    const parent = this.#store.get(namespaceResource, undefined, namespace);
    if (parent === undefined) {
      throw notFound(namespaceResource, namespace);
    }
    if (!creating || parent.metadata.deletionTimestamp === undefined) {
      return;
    }
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const message = `namespace ${namespace} is being terminated`;
    throw forbidden(resource, name, why, [
      { reason: 'NamespaceTerminating', message, field: 'metadata.namespace' },
    ]);
  }
}

/** What `preconditions` of DeleteOptions ask for. @throws {StatusError} 409 */
function checkPreconditions(write: Write, live: KubeObject): void {
  if (write.body === '') {
    return;
  }
  const { uid, resourceVersion } = objectOr(objectOr(bodyOf(write))['preconditions']);
  const met = (wanted: unknown, there: unknown): boolean => wanted === undefined || wanted === there;
  if (met(uid, live.metadata.uid) && met(resourceVersion, live.metadata.resourceVersion)) {
    return;
  }
  throw conflict(write.target.resource, live.metadata.name, 'Precondition failed');
}

function named(object: KubeObject): KubeObject {
  const { name, generateName } = object.metadata;
  if (name !== '' || generateName === undefined) {
    return object;
  }
  return {
    ...object,
    metadata: { ...object.metadata, name: `${generateName}${randomBytes(3).toString('hex').slice(0, 5)}` },
  };
}

/** The object as it is to be stored: completed, and looked at. @throws {StatusError} 422 */
function validated(
  { resource, subresource }: Target,
  object: KubeObject,
  old: KubeObject | undefined,
): KubeObject {
  const whole = named(object);
  if (resource === secretResource) {
    const secret = completeSecret(whole);
    validateSecret(secret, old);
    return secret;
  }
  if (resource === podResource) {
    if (old === undefined) {
      validatePod(whole);
    } else if (subresource === 'ephemeralcontainers') {
      return withEphemeralContainers(whole, old);
    } else {
      validatePodUpdate(whole, old);
    }
  }
  if (resource === webhookResource) {
    validateWebhooks(whole);
  }
  if (resource !== namespaceResource || old !== undefined) {
    return whole;
  }
  const labels = { ...whole.metadata.labels, 'kubernetes.io/metadata.name': whole.metadata.name };
  return {
    ...whole,
    metadata: { ...whole.metadata, labels },
    status: { phase: 'Active', ...objectOr(whole['status']) },
  };
}
