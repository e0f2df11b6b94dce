// Reads and writes the pull Secrets of all namespaces with server-side apply.
import type { MetadataChange, SecretApi, SecretObject } from '../kube/secrets.ts';
import { fieldManager, instanceFieldManager, metadataFieldManager } from '../labels.ts';
import { addOperatorMetadata, type OperatorMetadata } from './operator-metadata.ts';
import type { SecretManifest } from './ownership.ts';

/**
 * The pull Secrets of the cluster, which all have the same name. They are written by server-side apply only, so that RBAC
 * can limit the program to this one name. All methods reject with KubeError.
 */
export interface SecretStore {
  /** The name of the pull Secret in every namespace. */
  readonly name: string;
  /** @returns undefined if there is no such Secret */
  read(namespace: string): Promise<SecretObject | undefined>;
  /**
   * Creates the Secret.
   * @throws {KubeError} with code `conflict` if another writer has just created it with different content
   */
  create(namespace: string, content: SecretManifest): Promise<SecretObject>;
  /**
   * Changes the Secret in place.
   * @param read the version on which `content` is based
   * @throws {KubeError} with code `conflict` if the Secret has changed since it was read
   */
  update(read: SecretObject, content: SecretManifest): Promise<SecretObject>;
}

/** Changes labels and annotations of pull Secrets only. All methods reject with KubeError. */
export interface MetadataStore extends Pick<SecretStore, 'read'> {
  /** @throws {KubeError} with code `conflict` if the Secret has changed since it was read */
  changeMetadata(read: SecretObject, change: MetadataChange): Promise<SecretObject>;
}

/**
 * @param name the Secret's name in every namespace
 * @param instance identifies this process among the replicas. An apply with a resourceVersion creates the object if there
 *   is none, so two replicas that create a Secret at the same time conflict only if they are two field managers that do not
 *   force.
 * @param operator labels and annotations that every write sets as well, because policies of the cluster may require them
 */
export function createSecretStore(
  api: SecretApi,
  name: string,
  instance: string,
  operator: OperatorMetadata,
): SecretStore & MetadataStore {
  const createObject = (metadata: SecretObject['metadata'], content: SecretManifest): SecretObject => ({
    metadata: { ...metadata, ...addOperatorMetadata(content, operator) },
    type: content.type,
    data: content.data,
  });
  return {
    name,
    read: (namespace) => api.read(namespace, name),
    create: (namespace, content) =>
      api.apply(createObject({ namespace, name }, content), {
        fieldManager: instanceFieldManager(instance),
        force: false,
      }),
    update: ({ metadata: { namespace, uid, resourceVersion } }, content) =>
      api.apply(
        createObject(
          {
            namespace,
            name,
            ...(uid !== undefined && { uid }),
            ...(resourceVersion !== undefined && { resourceVersion }),
          },
          content,
        ),
        { fieldManager, force: true },
      ),
    changeMetadata: (read, change) => api.changeMetadata(read, change, metadataFieldManager),
  };
}
