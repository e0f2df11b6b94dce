import type { FieldOwner } from '../kube/field-managers.ts';
import type { SecretObject } from '../kube/secrets.ts';
import {
  hostsAnnotation,
  isOwnFieldManager,
  managedAnnotation,
  managedByLabel,
  productName,
} from '../labels.ts';
import { formatHosts } from './hosts-annotation.ts';
import { formatDockerConfig, type SecretContent } from './merge.ts';

export const secretType = 'kubernetes.io/dockerconfigjson';
export const dockerConfigKey = '.dockerconfigjson';

/** What decides whether a Secret of the program's name is managed. */
export interface OwnershipFacts {
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Who was the last to set which key; empty where the API server does not say so. */
  readonly fieldOwners?: readonly FieldOwner[] | undefined;
  /** Undefined where only metadata is known, which does not show the type. */
  readonly type?: string | undefined;
}

/**
 * Whether a Secret of the program's name is managed: it has the right type, and either the program's label, or content and
 * annotation that one of the program's field managers still owns. The latter is a Secret whose label another writer changed or
 * removed. It is repaired, because pods depend on its tokens.
 */
export function ownsSecret({ labels, fieldOwners = [], type = secretType }: OwnershipFacts): boolean {
  return (
    type === secretType && (hasManagedByLabel(labels) || (fieldOwners.length > 0 && ownsContent(fieldOwners)))
  );
}

/** Whether an unmanaged Secret says that it is to stay unmanaged, so that it is no failure. */
export function isOptedOut(annotations: Readonly<Record<string, string>> | undefined): boolean {
  return annotations?.[managedAnnotation] === 'false';
}

/**
 * Whether label, content and annotation are as one of the program's field managers wrote them, so that there is nothing to
 * repair.
 */
export function isIntact({ labels, fieldOwners = [] }: OwnershipFacts): boolean {
  return hasManagedByLabel(labels) && ownsContent(fieldOwners);
}

/**
 * Whether content and annotation are as one of the program's field managers wrote them: a writer that changes a field takes it
 * from its owner. True where the API server names no owners at all.
 */
export function ownsContent(owners: readonly FieldOwner[]): boolean {
  const ownFields = owners.filter(({ manager }) => isOwnFieldManager(manager));
  return (
    owners.length === 0 ||
    (ownFields.some(({ data }) => data.includes(dockerConfigKey)) &&
      ownFields.some(({ annotations }) => annotations.includes(hostsAnnotation)))
  );
}

function hasManagedByLabel(labels: OwnershipFacts['labels']): boolean {
  return labels?.[managedByLabel] === productName;
}

/** What of a Secret is ours to write. */
export type SecretManifest = Required<Pick<SecretObject, 'type' | 'data'>> & {
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
};

/** A pull Secret's content in the API's form. Equal content gives equal text. */
export function createManifest(content: SecretContent): SecretManifest {
  return {
    type: secretType,
    labels: { [managedByLabel]: productName },
    annotations: { [hostsAnnotation]: formatHosts(content.hosts, content.requestedAt) },
    data: { [dockerConfigKey]: Buffer.from(formatDockerConfig(content.auths)).toString('base64') },
  };
}

/** Whether a Secret already holds exactly this. */
export function matchesManifest(secret: SecretObject, { annotations, data }: SecretManifest): boolean {
  return (
    hasManagedByLabel(secret.metadata.labels) &&
    secret.metadata.annotations?.[hostsAnnotation] === annotations[hostsAnnotation] &&
    secret.data?.[dockerConfigKey] === data[dockerConfigKey]
  );
}
