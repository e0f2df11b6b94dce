// A watch of Secrets that retries quickly and records what it reports, for tests of the informer.
import type { KubeError } from '../../src/kube/errors.ts';
import {
  type SecretInformer,
  type SecretInformerOptions,
  type SecretMetadata,
  watchSecretMetadata,
} from '../../src/kube/secret-metadata.ts';
import { createConfig, secretName } from './secret-api-fixtures.ts';

/** A watch under test, with what it reported. */
export interface RecordedWatch {
  watch: SecretInformer;
  /** Namespace → the last metadata of its Secret. */
  known: Map<string, SecretMetadata>;
  /** The sizes of the lists, in order. */
  lists: number[];
  errors: KubeError[];
  /** The numbers of failures that a backoff was requested for. */
  requestedBackoffs: number[];
  /** Stops the watch and closes its connections. */
  stop(): Promise<void>;
}

/** Creates a watch that retries quickly, and records what it reports. */
export function createRecordedWatch(
  kubeconfigPath: string,
  options: Partial<SecretInformerOptions> = {},
): RecordedWatch {
  const config = options.config ?? createConfig(kubeconfigPath);
  const known = new Map<string, SecretMetadata>();
  const lists: number[] = [];
  const errors: KubeError[] = [];
  const waits: number[] = [];
  const watch = watchSecretMetadata({
    name: secretName,
    handler: {
      replace: (items) => {
        lists.push(items.length);
        known.clear();
        for (const item of items) {
          known.set(item.namespace, item);
        }
      },
      set: (item) => void known.set(item.namespace, item),
      remove: (namespace) => void known.delete(namespace),
    },
    onError: (error) => errors.push(error),
    backoff: (failures) => {
      waits.push(failures);
      return 1;
    },
    ...options,
    config,
  });
  const end = async (): Promise<void> => {
    await watch.stop();
    await config.close();
  };
  return { watch, known, lists, errors, requestedBackoffs: waits, stop: end };
}
