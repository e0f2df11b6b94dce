// Reads which namespaces the API server calls the webhook for.
import { readByName } from '../kube/object-by-name.ts';
import { getField, getItems } from '../util/json.ts';
import type { Installation } from './installation.ts';
import { readOptional } from './read-gaps.ts';

/** @returns the selector as in the API; undefined if the caller may not read it, or if it selects everything */
export async function readNamespaceSelector(
  { cluster, config }: Installation,
  signal: AbortSignal,
): Promise<unknown> {
  const name = config.certificates.webhookConfiguration;
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
  const noun = `MutatingWebhookConfiguration ${name}`;
  // It is only a further explanation, so a missing right is no gap.
  const configuration = await readOptional('get mutatingwebhookconfigurations', [], () =>
    readByName(cluster, { path, name, noun }, signal),
  );
  const [webhook] = getItems(getField(configuration, 'webhooks'));
  return getField(webhook, 'namespaceSelector');
}
