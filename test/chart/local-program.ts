import type { Cluster } from '../cluster/cluster.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type ProgramOptions, type RunningProgram, startProgram } from '../support/program.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import type { Release } from './release.ts';

/** Values for a release whose program runs beside the cluster, with a certificate of the tests. */
export function getLocalProgramValues(
  values: Values,
  target?: { webhookUrl: string; caPem: string },
): Values {
  return {
    ...values,
    ...(target !== undefined && { webhook: { url: target.webhookUrl } }),
    certificates: { mode: 'existingSecret', secretName: 'own', caBundle: target?.caPem ?? 'LS0t' },
  };
}

/**
 * Runs the program of a release, which no node is there for: its installed settings (addresses aside), its account's
 * token, the rights that the release granted.
 */
export async function startLocalProgram(
  release: Release,
  ecr: EcrDouble,
  options: Pick<ProgramOptions, 'untilReady' | 'config'> = {},
): Promise<RunningProgram> {
  return await startProgram({
    kubeconfigPath: await release.kubeconfig(),
    environment: ecr.env(),
    ...options,
    config: { ...(await release.configFile()), ...options.config },
  });
}

/** Installs the chart, runs the program beside the cluster, and waits until the API server calls it. */
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
