import { PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { isObject } from '../util/json.ts';
import { type ClusterConfig, createCoreApi, undefinedIfNotFound, withKubeErrors } from './client.ts';
import { KubeError } from './errors.ts';
import { type FieldOwner, parseFieldOwners } from './field-managers.ts';
import { getMetadata, pickStrings } from './resource.ts';

/** An object with which another is deleted: by the garbage collector, once all of its owners are gone. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** A Secret, as much of it as we use. */
export interface SecretObject {
  metadata: {
    namespace: string;
    name: string;
    /** Set on what was read; when applying, a precondition: see {@link SecretApi.apply}. */
    uid?: string;
    /** Set on what was read; when applying, a precondition: see {@link SecretApi.apply}. */
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    /** Only when applying. */
    ownerReferences?: readonly OwnerReference[];
  };
  /** Who was the last to set which key; only on what was read or stored. */
  fieldOwners?: readonly FieldOwner[];
  type?: string;
  /** Values in base64, as the API has them. */
  data?: Record<string, string>;
}

/** How to apply. */
export interface ApplyOptions {
  /** Who owns the fields that are sent, 1–128 characters. */
  fieldManager: string;
  /** Take over fields that another manager owns with another value; false answers `conflict` instead. */
  force: boolean;
}

/** Reads and writes Secrets. Every failure is a {@link KubeError}. */
export interface SecretApi {
  /** The Secret, or undefined where there is none. */
  read(namespace: string, name: string): Promise<SecretObject | undefined>;
  /**
   * Creates or changes a Secret by server-side apply, in place, and gives back what is stored then. Fields that
   * this manager sent before and does not send now are removed.
   *
   * `metadata.resourceVersion` set: `conflict` where the Secret has changed since; where there is none, it is created
   * all the same. `metadata.uid` set: `conflict` where there is none, or another one, so nothing is ever created.
   * (Seen with 1.30 and 1.37.) After `timeout` or `network` it may have been applied, or not.
   */
  apply(secret: SecretObject, options: ApplyOptions): Promise<SecretObject>;
}

/**
 * Keeps of an object what {@link SecretObject} has; undefined where it is not a Secret. Values that are not texts are
 * left out. Never throws.
 */
export function parseSecret(object: unknown): SecretObject | undefined {
  const { namespace, name, uid, resourceVersion, labels, annotations, managedFields } = getMetadata(object);
  if (typeof namespace !== 'string' || typeof name !== 'string') return undefined;
  const { type, data } = isObject(object) ? object : {};
  return {
    metadata: {
      namespace,
      name,
      ...(typeof uid === 'string' && { uid }),
      ...(typeof resourceVersion === 'string' && { resourceVersion }),
      ...(isObject(labels) && { labels: pickStrings(labels) }),
      ...(isObject(annotations) && { annotations: pickStrings(annotations) }),
    },
    fieldOwners: parseFieldOwners(managedFields),
    ...(typeof type === 'string' && { type }),
    ...(isObject(data) && { data: pickStrings(data) }),
  };
}

function parseSecretOrThrow(object: unknown, operation: string): SecretObject {
  const secret = parseSecret(object);
  if (secret !== undefined) return secret;
  throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a Secret' });
}

/** Makes the calls for Secrets on the API server that the config names. */
export function createSecretApi(config: ClusterConfig): SecretApi {
  const api = createCoreApi(config);
  return {
    read: async (namespace, name) => {
      const operation = `read Secret ${namespace}/${name}`;
      return await undefinedIfNotFound(operation, async () =>
        parseSecretOrThrow(await api.readNamespacedSecret({ namespace, name }), operation),
      );
    },
    apply: async (secret, { fieldManager, force }) => {
      const { namespace, name } = secret.metadata;
      const operation = `apply Secret ${namespace}/${name}`;
      const body = { apiVersion: 'v1', kind: 'Secret', ...secret };
      // Without this header client-node sends a JSON patch.
      const asApply = setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply);
      return await withKubeErrors(operation, async () =>
        parseSecretOrThrow(
          await api.patchNamespacedSecret({ namespace, name, body, fieldManager, force }, asApply),
          operation,
        ),
      );
    },
  };
}

/**
 * Deletes a Secret if it is still the one that was read; one that is gone already is fine.
 *
 * @throws {KubeError} `conflict` where it has changed since, or another one is in its place
 */
export async function deleteSecret(config: ClusterConfig, { metadata }: SecretObject): Promise<void> {
  const { namespace, name, uid, resourceVersion } = metadata;
  const preconditions = {
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
  await undefinedIfNotFound(`delete Secret ${namespace}/${name}`, () =>
    createCoreApi(config).deleteNamespacedSecret({ namespace, name, body: { preconditions } }),
  );
}
