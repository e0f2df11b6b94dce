import { at } from './rendered-objects.ts';

/**
 * What the Pod Security Standard `restricted` finds wrong with a pod's spec
 * (https://kubernetes.io/docs/concepts/security/pod-security-standards/), as the API server enforces it. Beyond the
 * standard: the root file system must be read-only.
 */
export function unrestricted(spec: unknown): string[] {
  const pod = at(spec, 'securityContext');
  const containers = [...(at(spec, 'initContainers') ?? []), ...(at(spec, 'containers') ?? [])];
  return [
    ...['hostNetwork', 'hostPID', 'hostIPC'].filter((key) => at(spec, key) === true),
    ...volumesOf(spec),
    ...containers.flatMap((container) => problemsOf(container, pod)),
  ];
}

function volumesOf(spec: unknown): string[] {
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
  const volumes: object[] = at(spec, 'volumes') ?? [];
  return volumes
    .filter((volume) => Object.keys(volume).some((key) => key !== 'name' && !kinds.includes(key)))
    .map((volume) => `volume ${JSON.stringify(volume)}`);
}

function problemsOf(container: unknown, pod: unknown): string[] {
  const context = at(container, 'securityContext');
  const either = (key: string) => at(context, key) ?? at(pod, key);
  const rules: Readonly<Record<string, boolean>> = {
    privileged: at(context, 'privileged') !== true,
    allowPrivilegeEscalation: at(context, 'allowPrivilegeEscalation') === false,
    'capabilities.drop': at(context, 'capabilities.drop')?.includes('ALL') === true,
    'capabilities.add': (at(context, 'capabilities.add') ?? []).length === 0,
    runAsNonRoot: either('runAsNonRoot') === true,
    runAsUser: either('runAsUser') !== 0,
    seccompProfile: ['RuntimeDefault', 'Localhost'].includes(either('seccompProfile')?.type),
    readOnlyRootFilesystem: at(context, 'readOnlyRootFilesystem') === true,
    hostPort: (at(container, 'ports') ?? []).every((port: unknown) => at(port, 'hostPort') === undefined),
  };
  return Object.keys(rules)
    .filter((rule) => rules[rule] === false)
    .map((rule) => `${at(container, 'name')}: ${rule}`);
}
