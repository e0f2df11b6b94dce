import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { findOwnServiceAccount } from '../kube/own-service-account.ts';
import { createSecretApi, type OwnerReference, type SecretObject } from '../kube/secrets.ts';
import { selectSecret, selectWebhookConfiguration, watchObject } from '../kube/single-object-watch.ts';
import { createWebhookConfigurationApi, type WebhookConfiguration } from '../kube/webhook-configurations.ts';
import { fieldManager, instanceFieldManager, managedByLabel, productName } from '../labels.ts';
import { formatSecretData, hasCaKey, type SecretContent } from './certificate-secret.ts';

/** Where managed certificates are kept, and where their CA is made known. */
export interface CertificateLocation {
  readonly namespace: string;
  readonly secretName: string;
  readonly webhookConfiguration: string;
}

/** What is in the cluster. */
export interface FoundObjects {
  readonly secret: SecretObject | undefined;
  /** An error: we have no right to read it. */
  readonly configuration: WebhookConfiguration | undefined | KubeError;
}

/** Whether a Secret of our name was made by somebody else, and is to be left alone. */
export function isUnmanaged({ metadata, data = {} }: SecretObject): boolean {
  const isManaged = metadata.labels?.[managedByLabel] === productName || hasCaKey(data);
  return !isManaged && Object.keys(data).length > 0;
}

/** The one Secret and the one webhook configuration. Every failure is a {@link KubeError}. */
export class CertificateStore {
  readonly #cluster: ClusterConfig;
  readonly #location: CertificateLocation;
  readonly #instance: string;

  /** @param instance tells this process from other replicas: see src/pull-secrets/apply.ts */
  constructor(cluster: ClusterConfig, place: CertificateLocation, instance: string) {
    this.#cluster = cluster;
    this.#location = place;
    this.#instance = instance;
  }

  /**
   * Reads both: first the configuration, so that a bundle is never written from a Secret that is older than the bundle
   * it replaces.
   */
  async read(): Promise<FoundObjects> {
    const { namespace, secretName, webhookConfiguration } = this.#location;
    const configuration = await this.#createWebhookApi()
      .read(webhookConfiguration)
      .catch((error: unknown) => {
        if (error instanceof KubeError && error.code === 'forbidden') return error;
        throw error;
      });
    return { configuration, secret: await createSecretApi(this.#cluster).read(namespace, secretName) };
  }

  /** Writes the Secret; `conflict` where it is no longer as it was found. */
  async write({ secret, configuration }: FoundObjects, content: SecretContent): Promise<void> {
    const { namespace, secretName: name } = this.#location;
    const { uid, resourceVersion } = secret?.metadata ?? {};
    const labels = { [managedByLabel]: productName };
    const ownerReferences = secret === undefined ? await this.#createOwnerReferences(configuration) : [];
    const metadata = {
      ...{ namespace, name, labels },
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(ownerReferences.length > 0 && { ownerReferences }),
    };
    // A type cannot be changed: a Secret that somebody made anew keeps the one that it got.
    const object = { metadata, type: secret?.type ?? 'kubernetes.io/tls', data: formatSecretData(content) };
    const how =
      secret === undefined
        ? { fieldManager: instanceFieldManager(this.#instance), force: false }
        : { fieldManager, force: true };
    await createSecretApi(this.#cluster).apply(object, how);
  }

  /** Puts the bundle into all webhooks; `invalid` where the configuration is no longer as it was found. */
  async publishCaBundle(configuration: WebhookConfiguration, bundle: string): Promise<void> {
    await this.#createWebhookApi().patchCaBundles(configuration, bundle);
  }

  /**
   * Tells whenever one of the two may have changed.
   * @returns ends it
   */
  watch(
    onChange: () => void,
    onError: (error: KubeError) => void,
    onObjectError: (error: ObjectError) => void,
  ): () => Promise<void> {
    const { namespace, secretName, webhookConfiguration } = this.#location;
    const objects = [selectSecret(namespace, secretName), selectWebhookConfiguration(webhookConfiguration)];
    const watches = objects.map((object) =>
      watchObject({ config: this.#cluster, object, onChange, onError, onObjectError }),
    );
    for (const watch of watches) void watch.start();
    return async () => {
      await Promise.all(watches.map((watch) => watch.stop()));
    };
  }

  /**
   * The owners of a new Secret: this process's ServiceAccount, and the webhook configuration. The Secret goes once neither
   * exists any more, so it survives a change of the account that manages it, or of how pods are injected. They are set at the
   * creation only: on a later change, the admission plugin OwnerReferencesPermissionEnforcement (on in OpenShift) would ask
   * for the right to delete the Secret.
   */
  async #createOwnerReferences(configuration: FoundObjects['configuration']): Promise<OwnerReference[]> {
    const account = await findOwnServiceAccount(this.#cluster);
    // an owner in another namespace would make the garbage collector delete the Secret at once
    if (account?.namespace !== this.#location.namespace) {
      return [];
    }
    const { name, uid } = account;
    const owner = { apiVersion: 'v1', kind: 'ServiceAccount', name, uid };
    const hasUid = configuration !== undefined && 'uid' in configuration && configuration.uid !== '';
    return hasUid ? [owner, createWebhookOwnerReference(configuration)] : [owner];
  }

  #createWebhookApi() {
    return createWebhookConfigurationApi(this.#cluster, fieldManager);
  }
}

function createWebhookOwnerReference({ name, uid }: WebhookConfiguration): OwnerReference {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    name,
    uid,
  };
}
