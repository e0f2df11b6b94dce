// Creates pods that do not get their image, for broken setups.
import type { Broken } from './broken-setup.ts';
import { type HealthyInstallation, ownImage } from './healthy-installation.ts';
import { createNamedNamespace, createUserPod, deletePod, imagePullBackOff } from './simulated-workloads.ts';

/** Creates a pod that does not get its image. */
export async function createStuckPod(
  { cluster }: HealthyInstallation,
  namespace: string,
  name: string,
  { image = ownImage, annotations = {} }: { image?: string; annotations?: Record<string, string> } = {},
): Promise<Broken> {
  await createUserPod(cluster, namespace, name, image, { annotations, waiting: imagePullBackOff(image) });
  return { repair: () => deletePod(cluster, namespace, name) };
}

/**
 * Creates a namespace with a pod that does not get its image.
 * @param obstruct creates in the namespace what is in the way of its Secret, before the pod; returns what removes it again
 */
export async function createStuckNamespace(
  installation: HealthyInstallation,
  namespace: string,
  obstruct?: () => Promise<() => Promise<unknown>>,
): Promise<Broken> {
  await createNamedNamespace(installation.cluster, namespace);
  const clear = await obstruct?.();
  const { repair } = await createStuckPod(installation, namespace, 'web');
  return {
    repair: async () => {
      await repair();
      await clear?.();
    },
  };
}
