import { PatchStrategy, setHeaderOptions, type V1Secret } from '@kubernetes/client-node';
import type { ClusterConfig } from './config.ts';
import { attempt, coreApi, unlessMissing } from './core-api.ts';
import { KubeError } from './errors.ts';
import { type FieldOwner, fieldOwners } from './field-owners.ts';

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
  };
  /** Who was the last to set which key; only on what was read or stored. */
  owners?: readonly FieldOwner[];
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

function ours(secret: V1Secret, operation: string): SecretObject {
  const { namespace, name, uid, resourceVersion, labels, annotations, managedFields } = secret.metadata ?? {};
  if (namespace === undefined || name === undefined) {
    throw new KubeError({ code: 'unknown', operation, detail: 'the answer is no Secret' });
  }
  return {
    metadata: {
      namespace,
      name,
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(labels !== undefined && { labels }),
      ...(annotations !== undefined && { annotations }),
    },
    owners: fieldOwners(managedFields),
    ...(secret.type !== undefined && { type: secret.type }),
    ...(secret.data !== undefined && { data: secret.data }),
  };
}

/** Makes the calls for Secrets on the API server that the config names. */
export function secretApi(config: ClusterConfig): SecretApi {
  const api = coreApi(config);
  return {
    read: async (namespace, name) => {
      const operation = `read Secret ${namespace}/${name}`;
      return await unlessMissing(operation, async () =>
        ours(await api.readNamespacedSecret({ namespace, name }), operation),
      );
    },
    apply: async (secret, { fieldManager, force }) => {
      const { namespace, name } = secret.metadata;
      const operation = `apply Secret ${namespace}/${name}`;
      const body = { apiVersion: 'v1', kind: 'Secret', ...secret };
      // Without this header client-node sends a JSON patch.
      const asApply = setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply);
      return await attempt(operation, async () =>
        ours(
          await api.patchNamespacedSecret({ namespace, name, body, fieldManager, force }, asApply),
          operation,
        ),
      );
    },
  };
}
