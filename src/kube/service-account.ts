import { metadataOf, texts } from './metadata.ts';
import { isRecord } from './records.ts';

/** On a ServiceAccount: the pull secret whose reference we added. Without it no reference is ever taken away. */
export const referenceAnnotation = 'ecr-pull-secrets.io/pull-secret';

/** What is kept of a ServiceAccount. */
export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Names in `imagePullSecrets`, in order; an entry without a name is an empty text. */
  readonly pullSecrets: readonly string[];
  /** The pull secret whose reference we added: what {@link referenceAnnotation} says. */
  readonly reference: string | undefined;
  /** Whether it has any annotation. */
  readonly annotated: boolean;
}

/** Keeps of an object what {@link ServiceAccount} has; undefined where it is none. */
export function serviceAccount(object: unknown): ServiceAccount | undefined {
  const { namespace, name, uid, resourceVersion, annotations } = metadataOf(object);
  if (typeof namespace !== 'string' || typeof name !== 'string') return undefined;
  if (typeof uid !== 'string' || typeof resourceVersion !== 'string') return undefined;
  const references: unknown = isRecord(object) ? object['imagePullSecrets'] : undefined;
  const list: unknown[] = Array.isArray(references) ? references : [];
  const told = texts(annotations);
  return {
    namespace,
    name,
    uid,
    resourceVersion,
    pullSecrets: list.map((entry) =>
      isRecord(entry) && typeof entry['name'] === 'string' ? entry['name'] : '',
    ),
    reference: told[referenceAnnotation],
    annotated: Object.keys(told).length > 0,
  };
}
