import type { FieldOwner } from '../kube/field-owners.ts';
import type { SecretObject } from '../kube/secrets.ts';
import { formatHosts, hostsAnnotation } from './annotation.ts';
import { type Content, formatDockerConfig } from './content.ts';

export const secretType = 'kubernetes.io/dockerconfigjson';
export const dockerConfigKey = '.dockerconfigjson';

/** The label, and its value, without which a Secret of our name is somebody else's. */
export const managedByLabel = 'app.kubernetes.io/managed-by';
export const managedBy = 'ecr-pull-secrets';

/** Whether a Secret is ours by its label, which is all that metadata shows. */
export function hasOurLabel(labels: Readonly<Record<string, string>> | undefined): boolean {
  return labels?.[managedByLabel] === managedBy;
}

/**
 * Whether content and annotation are as one of us wrote them: whoever changes a field takes it from its owner. True
 * where the API server tells of no owners at all.
 */
export function isIntact(owners: readonly FieldOwner[]): boolean {
  const ours = owners.filter(({ manager }) => manager === managedBy || manager.startsWith(`${managedBy}-`));
  return (
    owners.length === 0 ||
    (ours.some(({ data }) => data.includes(dockerConfigKey)) &&
      ours.some(({ annotations }) => annotations.includes(hostsAnnotation)))
  );
}

/** What of a Secret is ours to write. */
export type Written = Required<Pick<SecretObject, 'type' | 'data'>> & {
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
};

/** A pull Secret's content in the API's form. Equal content gives equal text. */
export function written(content: Content): Written {
  return {
    type: secretType,
    labels: { [managedByLabel]: managedBy },
    annotations: { [hostsAnnotation]: formatHosts(content.hosts, content.requestedAt) },
    data: { [dockerConfigKey]: Buffer.from(formatDockerConfig(content.auths)).toString('base64') },
  };
}

/** Whether a Secret already holds exactly this. */
export function holds(secret: SecretObject, { annotations, data }: Written): boolean {
  return (
    secret.metadata.annotations?.[hostsAnnotation] === annotations[hostsAnnotation] &&
    secret.data?.[dockerConfigKey] === data[dockerConfigKey]
  );
}
