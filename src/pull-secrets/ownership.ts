// Decides whether the program manages a Secret and whether another writer changed it, and formats its content.
import type { FieldOwner } from '../kube/field-managers.ts';
import type { SecretObject } from '../kube/secrets.ts';
import {
  hostsAnnotation,
  isOwnFieldManager,
  managedAnnotation,
  managedByLabel,
  productName,
} from '../labels.ts';
import { formatHosts, maxParsedHosts } from './hosts-annotation.ts';
import { formatDockerConfig, type SecretContent } from './merge.ts';

export const secretType = 'kubernetes.io/dockerconfigjson';
export const dockerConfigKey = '.dockerconfigjson';

/** The facts that decide whether a Secret with the program's name is managed. */
export interface OwnershipFacts {
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Which field manager set which keys last; empty if the API server does not say. */
  readonly fieldOwners?: readonly FieldOwner[] | undefined;
  /** Undefined if only metadata is known, which does not include the type. */
  readonly type?: string | undefined;
}

/**
 * Whether a Secret with the program's name is managed: it has the right type, and either the program's label, or content and
 * annotation that the program's field managers still own. In the latter case, another writer changed or removed the label; the
 * label is restored, because pods depend on the tokens.
 */
export function ownsSecret({ labels, fieldOwners = [], type = secretType }: OwnershipFacts): boolean {
  return (
    type === secretType && (hasManagedByLabel(labels) || (fieldOwners.length > 0 && ownsContent(fieldOwners)))
  );
}

/** Whether the operator marked an unmanaged Secret as deliberate, so that it does not count as a failure. */
export function isOptedOut(annotations: Readonly<Record<string, string>> | undefined): boolean {
  return annotations?.[managedAnnotation] === 'false';
}

/** Whether label, content and annotation are as the program's field managers wrote them, so that there is nothing to repair. */
export function isIntact({ labels, fieldOwners = [] }: OwnershipFacts): boolean {
  return hasManagedByLabel(labels) && ownsContent(fieldOwners);
}

/**
 * Whether content and annotation are as the program's field managers wrote them: another writer that changes a field becomes
 * its owner. True if the API server names no owners at all.
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

/** The fields of a Secret that the program writes. */
export type SecretManifest = Required<Pick<SecretObject, 'type' | 'data'>> & {
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
};

/** A pull Secret's content as API fields. Equal content has equal text. */
export function createManifest(content: SecretContent): SecretManifest {
  // an annotation with more hosts could not be read
  const unconfigured = [...(content.unconfigured ?? [])].slice(
    0,
    Math.max(0, maxParsedHosts - content.hosts.size),
  );
  const hosts = new Map([...unconfigured, ...content.hosts]);
  return {
    type: secretType,
    labels: { [managedByLabel]: productName },
    annotations: { [hostsAnnotation]: formatHosts(hosts, content.requestedAt) },
    data: { [dockerConfigKey]: Buffer.from(formatDockerConfig(content.auths)).toString('base64') },
  };
}

/** Whether a Secret's fields already equal the manifest. */
export function matchesManifest(secret: SecretObject, { annotations, data }: SecretManifest): boolean {
  return (
    hasManagedByLabel(secret.metadata.labels) &&
    secret.metadata.annotations?.[hostsAnnotation] === annotations[hostsAnnotation] &&
    secret.data?.[dockerConfigKey] === data[dockerConfigKey]
  );
}
