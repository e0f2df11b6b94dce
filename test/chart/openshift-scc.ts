// Checks pod specs against OpenShift's default security context constraints (SCC), restricted-v2.
import { getValueAt } from './rendered-objects.ts';

/** What OpenShift assigns to a namespace, in its annotations `openshift.io/sa.scc.uid-range` and `.supplemental-groups`. */
export interface NamespaceRange {
  /** The first ID of the block. The file system group must be this one. */
  readonly first: number;
  readonly size: number;
}

/** The kinds of volumes that restricted-v2 allows. */
const allowedVolumes = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
];

/**
 * Returns why the SCC restricted-v2 refuses a pod with this spec, one reason for each rule. What a spec does not set is not a reason,
 * because OpenShift sets it before it checks the pod.
 * Sources: bindata/bootkube/scc-manifests/0000_20_kube-apiserver-operator_00_scc-restricted-v2.yaml in
 * openshift/cluster-kube-apiserver-operator, and pkg/securitycontextconstraints/sccmatching in openshift/apiserver-library-go.
 */
export function findSccViolations(spec: unknown, range: NamespaceRange): string[] {
  const pod = getValueAt(spec, 'securityContext');
  return [
    ...['hostNetwork', 'hostPID', 'hostIPC'].filter((key) => getValueAt(spec, key) === true),
    ...findOwnIds(pod, range),
    ...findForbiddenVolumes(spec),
    ...containersOf(spec).flatMap((container) => findContainerViolations(container, range)),
  ];
}

/** The spec of the pod after OpenShift has set what it does not set. */
export function assignSecurityContext<Spec extends object>(spec: Spec, { first }: NamespaceRange): Spec {
  const assigned = structuredClone(spec);
  const defaults = {
    fsGroup: first,
    seLinuxOptions: { level: 's0:c26,c5' },
    seccompProfile: { type: 'RuntimeDefault' },
  };
  Object.assign(assigned, { securityContext: { ...defaults, ...getValueAt(spec, 'securityContext') } });
  const runAsUser = getValueAt(assigned, 'securityContext.runAsUser') ?? first;
  for (const container of containersOf(assigned)) {
    const context = getValueAt(container, 'securityContext');
    const drop = [...new Set([...(getValueAt(context, 'capabilities.drop') ?? []), 'ALL'])];
    Object.assign(container, {
      securityContext: {
        runAsNonRoot: true,
        runAsUser,
        allowPrivilegeEscalation: false,
        ...context,
        capabilities: { ...getValueAt(context, 'capabilities'), drop },
      },
    });
  }
  return assigned;
}

function containersOf(spec: unknown): object[] {
  return [...(getValueAt(spec, 'initContainers') ?? []), ...(getValueAt(spec, 'containers') ?? [])];
}

/** IDs and labels in the security context of the pod or of a container that the namespace does not allow. */
function findOwnIds(context: unknown, { first, size }: NamespaceRange): string[] {
  const user: number | undefined = getValueAt(context, 'runAsUser');
  const group: number | undefined = getValueAt(context, 'fsGroup');
  const seccomp: string | undefined = getValueAt(context, 'seccompProfile.type');
  const rules: Readonly<Record<string, boolean>> = {
    runAsUser: user === undefined || (user >= first && user < first + size),
    fsGroup: group === undefined || group === first,
    seLinuxOptions: getValueAt(context, 'seLinuxOptions') === undefined,
    seccompProfile: seccomp === undefined || seccomp === 'RuntimeDefault',
  };
  return Object.keys(rules).filter((rule) => rules[rule] === false);
}

function findForbiddenVolumes(spec: unknown): string[] {
  const volumes: object[] = getValueAt(spec, 'volumes') ?? [];
  return volumes.flatMap((volume) =>
    Object.keys(volume)
      .filter((key) => key !== 'name' && !allowedVolumes.includes(key))
      .map((kind) => `volume of kind ${kind}`),
  );
}

function findContainerViolations(container: unknown, range: NamespaceRange): string[] {
  const context = getValueAt(container, 'securityContext');
  const added: string[] = getValueAt(context, 'capabilities.add') ?? [];
  const ports: unknown[] = getValueAt(container, 'ports') ?? [];
  const rules: Readonly<Record<string, boolean>> = {
    privileged: getValueAt(context, 'privileged') !== true,
    allowPrivilegeEscalation: getValueAt(context, 'allowPrivilegeEscalation') !== true,
    'capabilities.add': added.every((capability) => capability === 'NET_BIND_SERVICE'),
    hostPort: ports.every((port) => getValueAt(port, 'hostPort') === undefined),
  };
  const reasons = [
    ...Object.keys(rules).filter((rule) => rules[rule] === false),
    ...findOwnIds(context, range),
  ];
  return reasons.map((reason) => `${getValueAt(container, 'name')}: ${reason}`);
}
