// By which rules the diagnosis decides about a pod, which are those of the webhook.
import type { Config } from '../config/schema.ts';
import { getDenyingRule, type IdentityResolver } from '../ecr/identity.ts';
import type { RegistryResolver } from '../ecr/registry.ts';
import { type DecisionRules, getAdmissionExclusions } from '../injection/decision.ts';
import { createPullSecretReference } from '../injection/patch.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { type Gap, readOptional } from './read-gaps.ts';

export function createDiagnosisRules(
  config: Pick<Config, 'secretName' | 'exclude'>,
  resolveRegistry: RegistryResolver,
  resolveIdentity: IdentityResolver,
): DecisionRules {
  return {
    reference: createPullSecretReference(config.secretName),
    resolveRegistry,
    exclude: getAdmissionExclusions(config),
    findDenyingRule: (namespace, registry) => getDenyingRule(resolveIdentity(namespace, registry)),
  };
}

/**
 * Reads which namespaces the webhook is called for. The chart sets the selector of catch-up to that of the webhook.
 * @param gaps receives why it could not be read; every namespace counts as selected then
 */
export async function readSelectedNamespaces(
  { catchUp }: Pick<Config, 'catchUp'>,
  cluster: ClusterConfig,
  gaps: Gap[],
  signal: AbortSignal,
): Promise<(namespace: string) => boolean> {
  const { selector } = catchUp.namespaces;
  if (selector === '') {
    return () => true;
  }
  const namespaces = await readOptional('list namespaces', gaps, () =>
    listNamespaces(cluster, { selector }, signal),
  );
  const names = namespaces && new Set(namespaces.map(({ name }) => name));
  return (namespace) => names === undefined || names.has(namespace);
}
