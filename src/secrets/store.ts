import type { SecretApi, SecretObject } from '../kube/secrets.ts';
import { managedBy, type Written } from './ours.ts';

/**
 * The pull Secrets of the cluster, all of one name, written by server-side apply only: that is what lets RBAC grant
 * us this one name and nothing else.
 */
export interface SecretStore {
  read(namespace: string): Promise<SecretObject | undefined>;
  /** Makes the Secret where there is none; `conflict` where somebody else just made it with another content. */
  create(namespace: string, content: Written): Promise<SecretObject>;
  /** Changes the Secret in place; `conflict` where it is no longer the one that was read. */
  update(read: SecretObject, content: Written): Promise<SecretObject>;
}

/**
 * @param name the Secret's name in every namespace
 * @param instance tells this process from other replicas: the race of two creators is caught only because they are
 *   two field managers that do not force (an apply with a resourceVersion creates where there is nothing)
 */
export function secretStore(api: SecretApi, name: string, instance: string): SecretStore {
  const object = (metadata: SecretObject['metadata'], content: Written): SecretObject => ({
    metadata: { ...metadata, labels: content.labels, annotations: content.annotations },
    type: content.type,
    data: content.data,
  });
  return {
    read: (namespace) => api.read(namespace, name),
    create: (namespace, content) =>
      api.apply(object({ namespace, name }, content), {
        fieldManager: `${managedBy}-${instance}`,
        force: false,
      }),
    update: ({ metadata: { namespace, uid, resourceVersion } }, content) =>
      api.apply(
        object(
          {
            namespace,
            name,
            ...(uid !== undefined && { uid }),
            ...(resourceVersion !== undefined && { resourceVersion }),
          },
          content,
        ),
        { fieldManager: managedBy, force: true },
      ),
  };
}
