import type { SecretMetadataSink } from '../kube/metadata.ts';

/**
 * A sink that passes on what the watch of Secrets reports, and then tells of which namespace it was; of a list, none.
 */
export function told(sink: SecretMetadataSink, changed: (namespace?: string) => void): SecretMetadataSink {
  return {
    replace: (items) => {
      sink.replace(items);
      changed();
    },
    set: (item) => {
      sink.set(item);
      changed(item.namespace);
    },
    remove: (namespace, resourceVersion) => {
      sink.remove(namespace, resourceVersion);
      changed(namespace);
    },
    reject: (object) => {
      sink.reject?.(object);
      changed(object.namespace);
    },
  };
}
