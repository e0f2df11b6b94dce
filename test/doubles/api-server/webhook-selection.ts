// Selects the webhooks that the API stand-in calls for a request.
import { namespaceResource, type Target, webhookResource } from './api-resources.ts';
import { invalid } from './api-status-error.ts';
import { arrayOr, type KubeObject, objectOr, stringsOf } from './kube-object.ts';
import { meets } from './selector-matching.ts';
import type { Store } from './store.ts';

/** What a webhook is asked about. */
export type Operation = 'CREATE' | 'UPDATE';

/** A webhook of a MutatingWebhookConfiguration, with the defaults filled in. */
export interface Webhook {
  name: string;
  /** Empty where the configuration names a Service, which the stand-in cannot reach. */
  url: string;
  caBundle: string;
  timeoutSeconds: number;
  ignoreFailure: boolean;
}

const has = (list: unknown, wanted: string): boolean =>
  arrayOr(list).some((one) => one === wanted || one === '*');

function matchesRule(rule: unknown, operation: Operation, { resource, subresource }: Target): boolean {
  const { operations, apiGroups, apiVersions, resources } = objectOr(rule);
  const plain = subresource === '' ? [resource.resource, '*'] : [];
  const withSub =
    subresource === ''
      ? []
      : [`${resource.resource}/${subresource}`, `${resource.resource}/*`, `*/${subresource}`];
  return (
    has(operations, operation) &&
    has(apiGroups, resource.group) &&
    has(apiVersions, resource.version) &&
    arrayOr(resources).some((one) => one === '*/*' || [...plain, ...withSub].some((form) => form === one))
  );
}

function webhookOf(entry: unknown): Webhook {
  const { name, clientConfig, timeoutSeconds, failurePolicy } = objectOr(entry);
  const { url, caBundle } = objectOr(clientConfig);
  return {
    name: typeof name === 'string' ? name : '',
    url: typeof url === 'string' ? url : '',
    caBundle: typeof caBundle === 'string' ? caBundle : '',
    timeoutSeconds: typeof timeoutSeconds === 'number' ? timeoutSeconds : 10,
    ignoreFailure: failurePolicy === 'Ignore',
  };
}

/** What a configuration must say of each webhook. @throws {Failure} 422 */
export function validateWebhooks(configuration: KubeObject): void {
  const causes = arrayOr(configuration['webhooks']).flatMap((entry, index) => {
    const { sideEffects, admissionReviewVersions } = objectOr(entry);
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
      ...(arrayOr(admissionReviewVersions).includes('v1')
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
    throw invalid(webhookResource, configuration.metadata.name, causes);
  }
}

/**
 * The webhooks that are to be called, in the order of their configurations' names. Rules, namespaceSelector and
 * objectSelector count. `matchConditions` are not evaluated (they are CEL): such a webhook is called for more than a
 * real API server would call it.
 */
export function webhooksFor(
  store: Store,
  operation: Operation,
  target: Target,
  labels: Record<string, string>,
): Webhook[] {
  const namespace = store.get(namespaceResource, undefined, target.namespace ?? '');
  const namespaceLabels = stringsOf(namespace?.metadata.labels);
  return store
    .list(webhookResource)
    .flatMap((configuration) => arrayOr(configuration['webhooks']))
    .filter((entry) => {
      const { rules, namespaceSelector, objectSelector } = objectOr(entry);
      return (
        arrayOr(rules).some((rule) => matchesRule(rule, operation, target)) &&
        meets(namespaceLabels, namespaceSelector) &&
        meets(labels, objectSelector)
      );
    })
    .map(webhookOf);
}
