// Watches one object for changes, with RBAC on its name only.
import type { ClusterConfig } from './client.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { acceptMetadata, getMetadata, webhookConfigurationsPath } from './resource.ts';

/** Selects one object by name. */
export interface ObjectSelector {
  /** Path of its resource, for example `/api/v1/namespaces/NAMESPACE/secrets`. */
  readonly path: string;
  readonly name: string;
  /** Its name in errors, for example `Secret a/b`. */
  readonly noun: string;
}

/** Selects a Secret. */
export function selectSecret(namespace: string, name: string): ObjectSelector {
  return { path: `/api/v1/namespaces/${namespace}/secrets`, name, noun: `Secret ${namespace}/${name}` };
}

/** Selects a MutatingWebhookConfiguration. */
export function selectWebhookConfiguration(name: string): ObjectSelector {
  return { path: webhookConfigurationsPath, name, noun: `MutatingWebhookConfiguration ${name}` };
}

/**
 * Calls `onChange` whenever an object may have changed. Only its metadata is transferred, and RBAC on its name suffices. See
 * {@link createInformer}.
 */
export function watchObject({
  object: { path, name, noun },
  onChange,
  ...options
}: CommonInformerOptions & {
  config: ClusterConfig;
  object: ObjectSelector;
  onChange: () => void;
}): Informer {
  return createInformer({
    ...options,
    resource: {
      noun,
      path,
      query: { fieldSelector: `metadata.name=${name}` },
      accept: acceptMetadata,
      parseItem: (object) => getMetadata(object)['name'],
    },
    handler: { replace: onChange, set: onChange, remove: onChange, reject: onChange },
  });
}
