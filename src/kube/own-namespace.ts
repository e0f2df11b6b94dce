import type { ClusterConfig } from './config.ts';

/** The namespace that we run in: the pod's own, or the one of the kubeconfig's context; undefined where neither says. */
export function ownNamespace(config: ClusterConfig): string | undefined {
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace?.trim();
  return namespace === '' ? undefined : namespace;
}
