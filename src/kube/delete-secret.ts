import type { ClusterConfig } from './config.ts';
import { coreApi, unlessMissing } from './core-api.ts';
import type { SecretObject } from './secrets.ts';

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
  await unlessMissing(`delete Secret ${namespace}/${name}`, () =>
    coreApi(config).deleteNamespacedSecret({ namespace, name, body: { preconditions } }),
  );
}
