// Checks a pod spec against the Pod Security Standard `restricted`.
import { getValueAt } from './rendered-objects.ts';

export type PodSecurityStandard = 'restricted' | 'baseline' | 'privileged';

/**
 * Returns the violations of the Pod Security Standard `restricted`
 * (https://kubernetes.io/docs/concepts/security/pod-security-standards/) in a pod's spec, as the API server enforces it. In
 * addition to the standard, the root file system must be read-only.
 */
export function findPodSecurityViolations(spec: unknown): string[] {
  const pod = getValueAt(spec, 'securityContext');
  const containers = [
    ...(getValueAt(spec, 'initContainers') ?? []),
    ...(getValueAt(spec, 'containers') ?? []),
  ];
  return [
    ...['hostNetwork', 'hostPID', 'hostIPC'].filter((key) => getValueAt(spec, key) === true),
    ...findForbiddenVolumes(spec),
    ...containers.flatMap((container) => findContainerViolations(container, pod)),
  ];
}

function findForbiddenVolumes(spec: unknown): string[] {
  const kinds = [
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ];
  const volumes: object[] = getValueAt(spec, 'volumes') ?? [];
  return volumes
    .filter((volume) => Object.keys(volume).some((key) => key !== 'name' && !kinds.includes(key)))
    .map((volume) => `volume ${JSON.stringify(volume)}`);
}

function findContainerViolations(container: unknown, pod: unknown): string[] {
  const context = getValueAt(container, 'securityContext');
  const either = (key: string) => getValueAt(context, key) ?? getValueAt(pod, key);
  const rules: Readonly<Record<string, boolean>> = {
    privileged: getValueAt(context, 'privileged') !== true,
    allowPrivilegeEscalation: getValueAt(context, 'allowPrivilegeEscalation') === false,
    'capabilities.drop': getValueAt(context, 'capabilities.drop')?.includes('ALL') === true,
    'capabilities.add': (getValueAt(context, 'capabilities.add') ?? []).length === 0,
    runAsNonRoot: either('runAsNonRoot') === true,
    runAsUser: either('runAsUser') !== 0,
    seccompProfile: ['RuntimeDefault', 'Localhost'].includes(either('seccompProfile')?.type),
    readOnlyRootFilesystem: getValueAt(context, 'readOnlyRootFilesystem') === true,
    hostPort: (getValueAt(container, 'ports') ?? []).every(
      (port: unknown) => getValueAt(port, 'hostPort') === undefined,
    ),
  };
  return Object.keys(rules)
    .filter((rule) => rules[rule] === false)
    .map((rule) => `${getValueAt(container, 'name')}: ${rule}`);
}
