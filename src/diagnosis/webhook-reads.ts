// Reads what the checks of the webhook need from the API server.
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { listObjects, readObject } from '../kube/objects.ts';
import { productName } from '../labels.ts';
import { getField } from '../util/json.ts';
import type { Installation } from './installation.ts';
import { parseConfiguration, type WebhookConfigurationFacts } from './webhook-facts.ts';

const admissionPath = '/apis/admissionregistration.k8s.io/v1';

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
  const path = `${admissionPath}/mutatingwebhookconfigurations`;
  const expected = config.certificates.webhookConfiguration;
  try {
    const noun = 'mutatingwebhookconfigurations';
    const all = await listObjects(cluster, { path, noun }, parseConfiguration, signal);
    const isHere = ({ webhooks, name }: WebhookConfigurationFacts) =>
      name === expected ||
      webhooks.some(({ target }) => target.kind === 'service' && target.namespace === namespace);
    const own = all.filter(({ isOwn, name }) => isOwn || name === expected);
    return { all, own: [...own.filter(isHere), ...own.filter((one) => !isHere(one))] };
  } catch (error) {
    if (!(error instanceof KubeError && error.code === 'forbidden')) {
      throw error;
    }
    const request = { path: `${path}/${expected}`, noun: `mutatingwebhookconfigurations named ${expected}` };
    const own = parseConfiguration(await readObject(cluster, request, signal));
    return { all: undefined, own: own === undefined ? [] : [own] };
  }
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
