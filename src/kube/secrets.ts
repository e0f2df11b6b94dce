// Reads, applies and deletes Secrets.
import { isObject } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { type FieldOwner, parseFieldOwners } from './field-managers.ts';
import { patchTypes, sendJson, undefinedIfNotFound } from './request.ts';
import { getMetadata, getObjectPath, pickStrings } from './resource.ts';

/** An owner of an object. The garbage collector deletes an object when none of its owners exists any more. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** The parts of a Secret that this program uses. */
export interface SecretObject {
  metadata: {
    namespace: string;
    name: string;
    /** Set on a Secret that was read. A precondition of {@link SecretApi.apply}. */
    uid?: string;
    /** Set on a Secret that was read. A precondition of {@link SecretApi.apply}. */
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    /** Only set to apply a Secret. */
    ownerReferences?: readonly OwnerReference[];
  };
  /** The owner of each data key, label and annotation. Only set on a Secret that was read or returned by an apply. */
  fieldOwners?: readonly FieldOwner[];
  type?: string;
  /** Values in base64. */
  data?: Record<string, string>;
}

/**
 * Options of {@link SecretApi.apply}.
 * @internal exported for its tests
 */
export interface ApplyOptions {
  /** The owner of the fields that are sent, 1–128 characters. */
  fieldManager: string;
  /** Whether to take over fields that another manager owns with another value. Otherwise the call fails with `conflict`. */
  force: boolean;
  /** Whether the API server only checks the request, with admission and quotas, and stores nothing. */
  dryRun?: boolean;
}

/** Reads and writes Secrets. Every failure is a {@link KubeError}. */
export interface SecretApi {
  /** Returns the Secret, or undefined if it does not exist. */
  read(namespace: string, name: string): Promise<SecretObject | undefined>;
  /**
   * Creates or changes a Secret by server-side apply, and returns the stored Secret. Fields that this manager sent before and
   * does not send now are removed.
   *
   * With `metadata.resourceVersion`, fails with `conflict` if the Secret has changed since; if it does not exist, it is created.
   * With `metadata.uid`, fails with `conflict` if the Secret does not exist or is another one, so nothing is created. (Observed
   * with 1.30 and 1.37.) After `timeout` or `network`, the Secret may or may not have been applied.
   */
  apply(secret: SecretObject, options: ApplyOptions): Promise<SecretObject>;
  /**
   * Sets and removes labels and annotations, and returns the stored Secret. Fails with `conflict` if the Secret has changed since
   * it was read or is another one, and with `not-found` if it does not exist. (Observed with 1.30 and 1.37.)
   * @param fieldManager the owner of what is set
   */
  changeMetadata(read: SecretObject, change: MetadataChange, fieldManager: string): Promise<SecretObject>;
}

/** The labels and annotations to set, by key; null: to remove, no matter who owns it. */
export interface MetadataChange {
  readonly labels: Readonly<Record<string, string | null>>;
  readonly annotations: Readonly<Record<string, string | null>>;
}

/**
 * Parses a Secret. Returns undefined if the object is not one. Values that are not strings are skipped. Never throws.
 * @internal exported for its tests
 */
export function parseSecret(object: unknown): SecretObject | undefined {
  const { namespace, name, uid, resourceVersion, labels, annotations, managedFields } = getMetadata(object);
  if (typeof namespace !== 'string' || typeof name !== 'string') {
    return undefined;
  }
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
  if (secret !== undefined) {
    return secret;
  }
  throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a Secret' });
}

/** Creates the API for Secrets. */
export function createSecretApi(config: ClusterConfig): SecretApi {
  return {
    read: async (namespace, name) => {
      const operation = `read Secret ${namespace}/${name}`;
      const request = { method: 'GET', path: getObjectPath('secrets', namespace, name), operation } as const;
      return await undefinedIfNotFound(async () =>
        parseSecretOrThrow(await sendJson(config, request), operation),
      );
    },
    apply: async (secret, { fieldManager, force, dryRun = false }) => {
      const { namespace, name } = secret.metadata;
      const operation = `apply Secret ${namespace}/${name}`;
      const applied = await sendJson(config, {
        method: 'PATCH',
        path: getObjectPath('secrets', namespace, name),
        query: { fieldManager, force: String(force), ...(dryRun && { dryRun: 'All' }) },
        body: { apiVersion: 'v1', kind: 'Secret', ...secret },
        contentType: patchTypes.apply,
        operation,
      });
      return parseSecretOrThrow(applied, operation);
    },
    changeMetadata: async ({ metadata }, change, fieldManager) => {
      const { namespace, name, uid, resourceVersion } = metadata;
      const operation = `patch the metadata of Secret ${namespace}/${name}`;
      const changed = await sendJson(config, {
        method: 'PATCH',
        path: getObjectPath('secrets', namespace, name),
        query: { fieldManager },
        body: { metadata: { uid, resourceVersion, ...change } },
        contentType: patchTypes.merge,
        operation,
      });
      return parseSecretOrThrow(changed, operation);
    },
  };
}

/**
 * Deletes a Secret if it is unchanged since it was read. Succeeds if it does not exist any more.
 * @throws {KubeError} with code `conflict` if it has changed since, or has been replaced
 */
export async function deleteSecret(config: ClusterConfig, { metadata }: SecretObject): Promise<void> {
  const { namespace, name, uid, resourceVersion } = metadata;
  const preconditions = {
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
  await undefinedIfNotFound(() =>
    sendJson(config, {
      method: 'DELETE',
      path: getObjectPath('secrets', namespace, name),
      body: { preconditions },
      operation: `delete Secret ${namespace}/${name}`,
    }),
  );
}
