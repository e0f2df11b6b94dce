// Runs the program of a release on this machine, because the test cluster has no nodes.
import type { Cluster } from '../cluster/cluster.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type ProgramOptions, type RunningProgram, startProgram } from '../support/program.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import type { Release } from './release.ts';

/** Values for a release whose program runs on this machine with a test certificate. */
export function getLocalProgramValues(
  values: Values,
  target?: { webhookUrl: string; caPem: string },
): Values {
  return {
    ...values,
    ...(target !== undefined && { webhook: { ...Object(values['webhook']), url: target.webhookUrl } }),
    certificates: { mode: 'existingSecret', secretName: 'own', caBundle: target?.caPem ?? 'LS0t' },
  };
}

/**
 * Runs the program of a release on this machine, with its installed configuration (except addresses), the token of its
 * ServiceAccount, and the permissions that the release grants.
 */
export async function startLocalProgram(
  release: Release,
  ecr: EcrDouble,
  options: Pick<ProgramOptions, 'waitUntilReady' | 'config' | 'certificates'> = {},
): Promise<RunningProgram> {
  return await startProgram({
    kubeconfigPath: await release.kubeconfig(),
    environment: ecr.env(),
    ...options,
    config: { ...(await release.configFile()), ...options.config },
  });
}

/** Installs the chart, runs the program on this machine, and waits until the API server calls it. */
export async function installWithLocalProgram(
  cluster: Cluster,
  release: Release,
  ecr: EcrDouble,
  values: Values = {},
): Promise<RunningProgram> {
  await release.install(getLocalProgramValues(values));
  const program = await startLocalProgram(release, ecr);
  await release.upgrade(getLocalProgramValues(values, program));
  const namespace = await cluster.createNamespace('probe');
  await eventually('the API server calls the program', async () => {
    const pod = podWith([`${registry}/probe:1`]);
    return (await createPod(cluster, namespace, pod, { dryRun: true })).pullSecrets.length > 0;
  });
  return program;
}
