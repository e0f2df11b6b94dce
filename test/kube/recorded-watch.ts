import type { KubeError } from '../../src/kube/errors.ts';
import {
  type SecretMetadata,
  type SecretWatch,
  type SecretWatchOptions,
  watchSecretMetadata,
} from '../../src/kube/secret-metadata.ts';
import { configOf, NAME } from './secret-api-fixtures.ts';

/** A watch under test, with what it reported. */
export interface Watched {
  watch: SecretWatch;
  /** Namespace → what is known of its Secret. */
  known: Map<string, SecretMetadata>;
  /** The sizes of the lists, in order. */
  lists: number[];
  errors: KubeError[];
  /** What backoff was asked for. */
  waits: number[];
  /** Ends it, connections and all. */
  end(): Promise<void>;
}

/** Makes a watch that is quick to retry, and writes down what it reports. */
export function watched(kubeconfigPath: string, options: Partial<SecretWatchOptions> = {}): Watched {
  const config = options.config ?? configOf(kubeconfigPath);
  const known = new Map<string, SecretMetadata>();
  const lists: number[] = [];
  const errors: KubeError[] = [];
  const waits: number[] = [];
  const watch = watchSecretMetadata({
    name: NAME,
    sink: {
      replace: (items) => {
        lists.push(items.length);
        known.clear();
        for (const item of items) known.set(item.namespace, item);
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
  return { watch, known, lists, errors, waits, end };
}
