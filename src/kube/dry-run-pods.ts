// Creates pods on a dry run: the API server runs admission, and stores nothing.
import { getField, getItems } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { sendJson } from './request.ts';
import { getResourcePath } from './resource.ts';

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
  const body = {
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
  const pod = await sendJson(config, {
    method: 'POST',
    path: getResourcePath('pods', namespace),
    query: { dryRun: 'All' },
    body,
    operation: `create a pod in namespace ${namespace} on a dry run`,
  });
  return getItems(getField(getField(pod, 'spec'), 'imagePullSecrets')).flatMap((reference) => {
    const name = getField(reference, 'name');
    return typeof name === 'string' ? [name] : [];
  });
}
