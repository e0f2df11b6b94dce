import type { ClusterConfig } from './client.ts';
import { follow, type Watch, type WatchSettings } from './informer.ts';
import { ACCEPT_METADATA, metadataOf } from './resource.ts';

/** One object, by its name. */
export interface Named {
  /** Of its collection: `/api/v1/namespaces/NAMESPACE/secrets`. */
  readonly path: string;
  readonly name: string;
  /** What it is called in errors: `Secret a/b`. */
  readonly noun: string;
}

/** A Secret, as something to follow. */
export function secretNamed(namespace: string, name: string): Named {
  return { path: `/api/v1/namespaces/${namespace}/secrets`, name, noun: `Secret ${namespace}/${name}` };
}

/** A MutatingWebhookConfiguration, as something to follow. */
export function webhookConfigurationNamed(name: string): Named {
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
  return { path, name, noun: `MutatingWebhookConfiguration ${name}` };
}

/**
 * Tells whenever one object may have changed, without saying how: only metadata passes. RBAC on the one name suffices.
 * See {@link follow}.
 */
export function watchNamed({
  object: { path, name, noun },
  onChange,
  ...options
}: WatchSettings & { config: ClusterConfig; object: Named; onChange: () => void }): Watch {
  return follow({
    ...options,
    resource: {
      noun,
      path,
      query: { fieldSelector: `metadata.name=${name}` },
      accept: ACCEPT_METADATA,
      item: (object) => metadataOf(object)['name'],
    },
    sink: { replace: onChange, set: onChange, remove: onChange, reject: onChange },
  });
}
