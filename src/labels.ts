// Every label, annotation, field manager and product name that the program uses in a cluster: its public contract.

/** The name of the program, as the value of its label and as the component of its Events. */
export const productName = 'ecr-pull-secrets';

/** The address of the pages in docs/. */
export const documentationUrl = 'https://github.com/ecr-pull-secrets/ecr-pull-secrets/blob/main/docs';

/** Marks a managed Secret; its value is {@link productName}. */
export const managedByLabel = 'app.kubernetes.io/managed-by';

/** On a managed Secret: JSON with the hosts that it should hold, and when each token was issued and expires. */
export const hostsAnnotation = 'ecr-pull-secrets.io/hosts';

/** With the value `false` on an unmanaged Secret with the program's name: the operator manages it, so it is no failure. */
export const managedAnnotation = 'ecr-pull-secrets.io/managed';

/** With the value `false` on a pod: the pod is skipped. */
export const injectAnnotation = 'ecr-pull-secrets.io/inject';

/** On a ServiceAccount: the reference to a pull Secret that provisioning added, so that `uninstall` can remove it. */
export const referenceAnnotation = 'ecr-pull-secrets.io/pull-secret';

/** The field manager for fields that the program sets with force. */
export const fieldManager = 'ecr-pull-secrets';

/** The field manager for labels and annotations of the operator (`secrets.labels`, `secrets.annotations`) on existing Secrets. */
export const metadataFieldManager = 'ecr-pull-secrets-metadata';

/**
 * The field manager for fields that one process sets without force. The API server reports a conflict between two managers
 * with different values, so that two replicas never silently overwrite each other.
 * @param instance identifies this process among the replicas
 */
export function instanceFieldManager(instance: string): string {
  return `${fieldManager}-${instance}`;
}

/** Whether a field manager belongs to the program, in any replica. */
export function isOwnFieldManager(manager: string): boolean {
  return manager === fieldManager || manager.startsWith(`${fieldManager}-`);
}
