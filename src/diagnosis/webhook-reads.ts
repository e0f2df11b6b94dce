// Reads how the API server calls the webhook, and which policies add references instead.
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { readByName } from '../kube/object-by-name.ts';
import { listObjects, readObject } from '../kube/objects.ts';
import { productName } from '../labels.ts';
import { getField } from '../util/json.ts';
import type { Installation } from './installation.ts';
import { readOptional } from './read-gaps.ts';
import { parseConfiguration, type WebhookConfigurationFacts } from './webhook-facts.ts';

const admissionPath = '/apis/admissionregistration.k8s.io/v1';

/** How to list the MutatingWebhookConfigurations of the cluster. */
export const webhookConfigurations = {
  path: `${admissionPath}/mutatingwebhookconfigurations`,
  noun: 'mutatingwebhookconfigurations',
} as const;

/** The webhook configurations of the cluster. */
export interface Configurations {
  /** Those of the program, the one of this installation first. */
  readonly own: readonly WebhookConfigurationFacts[];
  /** Undefined if the caller may read only the one with the configured name. */
  readonly all: readonly WebhookConfigurationFacts[] | undefined;
}

/** @throws {KubeError} with code `forbidden` if the caller may read none */
export async function readConfigurations(
  { cluster, config, namespace }: Installation,
  signal: AbortSignal,
): Promise<Configurations> {
  const { path, noun } = webhookConfigurations;
  const expected = config.certificates.webhookConfiguration;
  try {
    const all = await listObjects(cluster, webhookConfigurations, parseConfiguration, signal);
    const isHere = ({ webhooks, name }: WebhookConfigurationFacts) =>
      name === expected ||
      webhooks.some(({ target }) => target.kind === 'service' && target.namespace === namespace);
    const own = all.filter(({ isOwn, name }) => isOwn || name === expected);
    return { all, own: [...own.filter(isHere), ...own.filter((one) => !isHere(one))] };
  } catch (error) {
    if (!(error instanceof KubeError && error.code === 'forbidden')) {
      throw error;
    }
    const request = { path: `${path}/${expected}`, noun: `${noun} named ${expected}` };
    const own = parseConfiguration(await readObject(cluster, request, signal));
    return { all: undefined, own: own === undefined ? [] : [own] };
  }
}

/**
 * Reads which namespaces the API server calls the webhook for.
 * @returns the selector as in the API; undefined if the caller may not read it, or if it selects everything
 */
export async function readNamespaceSelector(
  { cluster, config }: Installation,
  signal: AbortSignal,
): Promise<unknown> {
  const { path } = webhookConfigurations;
  const name = config.certificates.webhookConfiguration;
  const noun = `MutatingWebhookConfiguration ${name}`;
  // It is only a further explanation, so a missing right is no gap.
  const configuration = await readOptional('get mutatingwebhookconfigurations', [], () =>
    readByName(cluster, { path, name, noun }, signal),
  );
  return parseConfiguration(configuration)?.webhooks[0]?.namespaceSelector;
}

/** The MutatingAdmissionPolicies of the chart, and whether each of them has a binding. */
export interface PolicyFacts {
  readonly name: string;
  readonly hasBinding: boolean;
}

/**
 * @returns undefined if the caller may not list them
 * @throws {KubeError}
 */
export async function readPolicies(
  cluster: ClusterConfig,
  signal: AbortSignal,
): Promise<readonly PolicyFacts[] | undefined> {
  const nameOf = (object: unknown) => getField(getField(object, 'metadata'), 'name');
  try {
    const policies = await listObjects(
      cluster,
      {
        path: `${admissionPath}/mutatingadmissionpolicies`,
        noun: 'mutatingadmissionpolicies',
        labelSelector: `app.kubernetes.io/name=${productName}`,
      },
      nameOf,
      signal,
    );
    const bound = new Set(
      policies.length === 0
        ? []
        : await listObjects(
            cluster,
            {
              path: `${admissionPath}/mutatingadmissionpolicybindings`,
              noun: 'mutatingadmissionpolicybindings',
            },
            (binding) => getField(getField(binding, 'spec'), 'policyName'),
            signal,
          ),
    );
    return policies.map((name) => ({ name: String(name), hasBinding: bound.has(name) }));
  } catch (error) {
    if (error instanceof KubeError && error.code === 'not-found') {
      return []; // before Kubernetes 1.36
    }
    if (error instanceof KubeError && error.code === 'forbidden') {
      return undefined;
    }
    throw error;
  }
}
