// Creates pods on a dry run: the API server runs admission, and stores nothing.
import type { V1Pod } from '@kubernetes/client-node';
import { type ClusterConfig, createCoreApi, withKubeErrors } from './client.ts';

/**
 * Creates a pod with one container on a dry run. It meets the Pod Security Standard `restricted`.
 * @returns the names in its `imagePullSecrets` after admission
 * @throws {KubeError} with code `forbidden` if the caller lacks the right to create pods, or if quota or admission refuses the pod
 */
export async function createPodOnDryRun(
  config: ClusterConfig,
  namespace: string,
  image: string,
): Promise<readonly string[]> {
  const body: V1Pod = {
    metadata: { generateName: 'ecr-pull-secrets-doctor-' },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'doctor',
          image,
          resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '1m', memory: '1Mi' } },
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
            readOnlyRootFilesystem: true,
          },
        },
      ],
    },
  };
  const pod = await withKubeErrors(`create a pod in namespace ${namespace} on a dry run`, () =>
    createCoreApi(config).createNamespacedPod({ namespace, body, dryRun: 'All' }),
  );
  return (pod.spec?.imagePullSecrets ?? []).flatMap(({ name }) => (name === undefined ? [] : [name]));
}
