// Checks on a dry run whether a pod with an ECR image gets the reference.
import { getAdmissionExclusions } from '../injection/decision.ts';
import { getOwnNamespace } from '../kube/client.ts';
import { createPodOnDryRun } from '../kube/dry-run-pods.ts';
import { KubeError } from '../kube/errors.ts';
import { matchesAny } from '../util/glob.ts';
import type { CheckResult } from './check.ts';
import { chooseImage } from './dry-run-image.ts';
import { type DryRunOutcome, judgeDryRun } from './dry-run-judgment.ts';
import type { Installation } from './installation.ts';
import type { NamespaceSelection } from './namespace-judgment.ts';

/** What the earlier checks of the webhook found. */
export interface DryRunContext {
  /** The namespace of the pod; undefined: one that is selected. */
  readonly namespace: string | undefined;
  /** For which namespaces the webhook is called; undefined: not known. */
  readonly namespaces: NamespaceSelection | undefined;
  readonly hasPolicy: boolean;
  /** The results of the checks that may explain the result. */
  readonly before: readonly CheckResult[];
}

export async function checkDryRun(
  installation: Installation,
  { namespace, namespaces, hasPolicy, before }: DryRunContext,
): Promise<CheckResult> {
  const { config, cluster } = installation;
  const chosen = namespace ?? chooseNamespace(installation, namespaces);
  const image = chooseImage(config, chosen);
  if (image === undefined) {
    return {
      check: 'webhook-dry-run',
      outcome: 'skipped',
      summary: 'not checked, because the configuration excludes or denies all registries that were tried',
    };
  }
  return judgeDryRun({
    namespace: chosen,
    secretName: config.secretName,
    image,
    outcome: await tryPod(() => createPodOnDryRun(cluster, chosen, image)),
    exclusion: explainExclusion(installation, chosen, namespaces),
    earlierFailure: before.find(({ outcome }) => outcome === 'failed')?.check,
    hasPolicy,
  });
}

function chooseNamespace(
  { cluster, viewpoint }: Installation,
  namespaces: NamespaceSelection | undefined,
): string {
  const wanted = (viewpoint === 'outside' ? getOwnNamespace(cluster) : undefined) ?? 'default';
  const selected = namespaces?.selected ?? [];
  return selected.length === 0 || selected.includes(wanted) ? wanted : (selected[0] ?? wanted);
}

function explainExclusion(
  { config }: Installation,
  namespace: string,
  namespaces: NamespaceSelection | undefined,
): string | undefined {
  if (matchesAny(getAdmissionExclusions(config).namespaces, namespace)) {
    return `exclude.namespaces or exclude.admissionNamespaces excludes namespace ${namespace}`;
  }
  return namespaces?.excluded.includes(namespace)
    ? `the namespaceSelector of the webhook does not select namespace ${namespace}`
    : undefined;
}

async function tryPod(create: () => Promise<readonly string[]>): Promise<DryRunOutcome> {
  try {
    return { kind: 'admitted', pullSecrets: await create() };
  } catch (error) {
    if (error instanceof KubeError && error.status !== undefined) {
      return { kind: 'refused', code: error.code, cause: error.shortCause, message: error.message };
    }
    throw error;
  }
}
