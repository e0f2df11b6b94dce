// Every label, annotation, field manager and name that this program writes or reads in a cluster: its public contract.

/** The name of the program: the value of its label, its field manager, the component of its Events. */
export const productName = 'ecr-pull-secrets';

/** Marks a managed Secret; its value is {@link productName}. */
export const managedByLabel = 'app.kubernetes.io/managed-by';

/** On a managed Secret: the hosts that it should hold, as JSON, and when each token was issued and expires. */
export const hostsAnnotation = 'ecr-pull-secrets.io/hosts';

/** With the value `false` on an unmanaged Secret of the program's name: the operator manages it deliberately. */
export const managedAnnotation = 'ecr-pull-secrets.io/managed';

/** With the value `false` on a pod: the pod is skipped. */
export const injectAnnotation = 'ecr-pull-secrets.io/inject';

/** On a ServiceAccount: the reference to a pull Secret that provisioning added, so that `uninstall` can remove it. */
export const referenceAnnotation = 'ecr-pull-secrets.io/pull-secret';

/** The owner of the fields that the program sets with force. */
export const fieldManager = 'ecr-pull-secrets';

/**
 * The owner of the fields that one process sets without force. The API server reports a conflict between two owners with
 * different values, so that two replicas never overwrite each other unseen.
 * @param instance tells this process from the other replicas
 */
export function instanceFieldManager(instance: string): string {
  return `${fieldManager}-${instance}`;
}

/** Whether a field manager is this program, in any replica. */
export function isOwnFieldManager(manager: string): boolean {
  return manager === fieldManager || manager.startsWith(`${fieldManager}-`);
}
