// Lists and watches the metadata of all Secrets of one name.
import type { ClusterConfig } from './client.ts';
import { type FieldOwner, parseFieldOwners } from './field-managers.ts';
import { type CommonInformerOptions, createInformer, type Informer } from './informer.ts';
import { type ListResult, listAll, visitAll } from './list.ts';
import {
  acceptMetadata,
  getMetadata,
  getResourcePath,
  type ObjectIdentity,
  pickStrings,
  type Resource,
} from './resource.ts';

/** The metadata of a Secret, without its data. */
export interface SecretMetadata {
  namespace: string;
  uid: string;
  resourceVersion: string;
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  /** The owner of each data key, label and annotation. */
  fieldOwners: readonly FieldOwner[];
}

/** Receives the events of the informer, in the order of the changes on the API server. */
export interface SecretEventHandler {
  /** Called after a list, with all Secrets. */
  replace(items: readonly SecretMetadata[]): void;
  /** Called for a new or changed Secret. */
  set(item: SecretMetadata): void;
  /** Called when the Secret of a namespace has been deleted, as of this resourceVersion. */
  remove(namespace: string, resourceVersion: string): void;
  /** Called when the Secret of a namespace could not be parsed. It counts as unmanaged. */
  reject?(object: ObjectIdentity): void;
}

/**
 * Parses a PartialObjectMetadata. Returns undefined if it is not one.
 * @internal exported for its tests
 */
export function parseSecretMetadata(object: unknown): SecretMetadata | undefined {
  const { namespace, uid, resourceVersion, labels, annotations, managedFields } = getMetadata(object);
  if (typeof namespace !== 'string' || typeof uid !== 'string' || typeof resourceVersion !== 'string') {
    return undefined;
  }
  return {
    namespace,
    uid,
    resourceVersion,
    labels: pickStrings(labels),
    annotations: pickStrings(annotations),
    fieldOwners: parseFieldOwners(managedFields),
  };
}

/** Options of {@link watchSecretMetadata}. */
export interface SecretInformerOptions extends CommonInformerOptions {
  config: ClusterConfig;
  /** The name of all watched Secrets. */
  name: string;
  handler: SecretEventHandler;
}

/** An informer of Secrets. */
export type SecretInformer = Informer;

/** Selects among the Secrets of one name. An omitted property selects all. */
export interface SecretSelection {
  readonly namespace?: string | undefined;
  /** Selects the Secrets that do not have this type. */
  readonly otherThanType?: string;
}

/** The metadata of the Secrets of one name. RBAC on that name suffices to list and watch them. */
function createSecretResource(
  name: string,
  { namespace, otherThanType }: SecretSelection = {},
): Resource<SecretMetadata> {
  const where = namespace === undefined ? '' : ` of namespace ${namespace}`;
  const type = otherThanType === undefined ? '' : `,type!=${otherThanType}`;
  return {
    noun: `Secrets named ${name}${where}`,
    path: getResourcePath('secrets', namespace),
    query: { fieldSelector: `metadata.name=${name}${type}` },
    accept: acceptMetadata,
    parseItem: parseSecretMetadata,
  };
}

/** Watches the metadata of all Secrets of one name in all namespaces; see {@link createInformer}. */
export function watchSecretMetadata({ name, handler, ...options }: SecretInformerOptions): SecretInformer {
  return createInformer({
    ...options,
    resource: createSecretResource(name),
    handler: {
      replace: (items) => handler.replace(items),
      set: (item) => handler.set(item),
      remove: ({ namespace }, resourceVersion) => handler.remove(namespace, resourceVersion),
      reject: (object) => handler.reject?.(object),
    },
  });
}

/** Lists the metadata of all Secrets of one name in all namespaces; see {@link listAll}. */
export async function listSecretMetadata(
  config: ClusterConfig,
  name: string,
  signal: AbortSignal,
): Promise<ListResult<SecretMetadata>> {
  return await listAll(config, createSecretResource(name), signal);
}

/**
 * Lists the metadata of Secrets of one name page by page, and keeps nothing of it; see {@link visitAll}.
 * @param onSecret called with each Secret as its page arrives; must not throw
 * @param onInvalid called with each Secret that cannot be parsed
 * @throws {KubeError}
 */
export async function visitSecretMetadata(
  config: ClusterConfig,
  name: string,
  selection: SecretSelection,
  {
    onSecret,
    onInvalid,
  }: { onSecret(secret: SecretMetadata): void; onInvalid?(object: ObjectIdentity): void },
  signal: AbortSignal,
): Promise<void> {
  await visitAll(config, createSecretResource(name, selection), signal, onSecret, onInvalid);
}
