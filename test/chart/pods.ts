import { type Pod, podWith } from '../support/pods.ts';

/** As the kubelet shows a static pod to the API server. */
export function mirrorPod(image: string): Pod {
  return podWith([image], { nodeName: 'node-1' }, { 'kubernetes.io/config.mirror': 'x' });
}

/** A pod that may run where only restricted ones may. */
export function restrictedPod(image: string): Pod {
  const pod = podWith([image], {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  });
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const containers = pod.spec.containers.map((container) => ({ ...container, securityContext }));
  return { ...pod, spec: { ...pod.spec, containers } };
}
