import type { ClusterConfig } from './client.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { acceptMetadata, getMetadata } from './resource.ts';

/** One object, by its name. */
export interface ObjectSelector {
  /** Of its collection: `/api/v1/namespaces/NAMESPACE/secrets`. */
  readonly path: string;
  readonly name: string;
  /** What it is called in errors: `Secret a/b`. */
  readonly noun: string;
}

/** A Secret, as something to follow. */
export function selectSecret(namespace: string, name: string): ObjectSelector {
  return { path: `/api/v1/namespaces/${namespace}/secrets`, name, noun: `Secret ${namespace}/${name}` };
}

/** A MutatingWebhookConfiguration, as something to follow. */
export function selectWebhookConfiguration(name: string): ObjectSelector {
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
  return { path, name, noun: `MutatingWebhookConfiguration ${name}` };
}

/**
 * Tells whenever one object may have changed, without saying how: only metadata passes. RBAC on the one name suffices.
 * See {@link createInformer}.
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
