// Selects the webhooks that the API stand-in calls for a request.
import { namespaceResource, type Target, webhookResource } from './api-resources.ts';
import { createInvalid } from './api-status-error.ts';
import { getStringEntries, type KubeObject, toArray, toObject } from './kube-object.ts';
import { matchesLabelSelector } from './selector-matching.ts';
import type { Store } from './store.ts';

/** The operations that webhooks can match. */
export type Operation = 'CREATE' | 'UPDATE';

/** A webhook of a MutatingWebhookConfiguration, with defaults. */
export interface Webhook {
  name: string;
  /** Empty if the configuration names a Service, which the stand-in does not support. */
  url: string;
  caBundle: string;
  timeoutSeconds: number;
  ignoreFailure: boolean;
}

const includesOrAny = (list: unknown, value: string): boolean =>
  toArray(list).some((one) => one === value || one === '*');

function matchesRule(rule: unknown, operation: Operation, { resource, subresource }: Target): boolean {
  const { operations, apiGroups, apiVersions, resources } = toObject(rule);
  const plain = subresource === '' ? [resource.resource, '*'] : [];
  const withSub =
    subresource === ''
      ? []
      : [`${resource.resource}/${subresource}`, `${resource.resource}/*`, `*/${subresource}`];
  return (
    includesOrAny(operations, operation) &&
    includesOrAny(apiGroups, resource.group) &&
    includesOrAny(apiVersions, resource.version) &&
    toArray(resources).some((one) => one === '*/*' || [...plain, ...withSub].some((form) => form === one))
  );
}

function parseWebhook(entry: unknown): Webhook {
  const { name, clientConfig, timeoutSeconds, failurePolicy } = toObject(entry);
  const { url, caBundle } = toObject(clientConfig);
  return {
    name: typeof name === 'string' ? name : '',
    url: typeof url === 'string' ? url : '',
    caBundle: typeof caBundle === 'string' ? caBundle : '',
    timeoutSeconds: typeof timeoutSeconds === 'number' ? timeoutSeconds : 10,
    ignoreFailure: failurePolicy === 'Ignore',
  };
}

/** Checks the required fields of each webhook. @throws {StatusError} 422 */
export function validateWebhooks(configuration: KubeObject): void {
  const causes = toArray(configuration['webhooks']).flatMap((entry, index) => {
    const { sideEffects, admissionReviewVersions } = toObject(entry);
    const field = `webhooks[${index}]`;
    const reason = 'FieldValueRequired';
    return [
      ...(sideEffects === 'None' || sideEffects === 'NoneOnDryRun'
        ? []
        : [
            {
              reason,
              message: 'Required value: must specify one of None, NoneOnDryRun',
              field: `${field}.sideEffects`,
            },
          ]),
      ...(toArray(admissionReviewVersions).includes('v1')
        ? []
        : [
            {
              reason,
              message: 'Required value: must specify one of v1, v1beta1',
              field: `${field}.admissionReviewVersions`,
            },
          ]),
    ];
  });
  if (causes.length > 0) {
    throw createInvalid(webhookResource, configuration.metadata.name, causes);
  }
}

/**
 * Returns the webhooks to call, sorted by the names of their configurations. Rules, namespaceSelector and objectSelector are
 * evaluated. `matchConditions` are not, because they are CEL, so webhooks with them receive more calls than from a real API
 * server.
 */
export function selectWebhooks(
  store: Store,
  operation: Operation,
  target: Target,
  labels: Record<string, string>,
): Webhook[] {
  const namespace = store.get(namespaceResource, undefined, target.namespace ?? '');
  const namespaceLabels = getStringEntries(namespace?.metadata.labels);
  return store
    .list(webhookResource)
    .flatMap((configuration) => toArray(configuration['webhooks']))
    .filter((entry) => {
      const { rules, namespaceSelector, objectSelector } = toObject(entry);
      return (
        toArray(rules).some((rule) => matchesRule(rule, operation, target)) &&
        matchesLabelSelector(namespaceLabels, namespaceSelector) &&
        matchesLabelSelector(labels, objectSelector)
      );
    })
    .map(parseWebhook);
}
