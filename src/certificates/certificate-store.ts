// Reads, writes and watches the certificate Secret and the webhook configuration in the cluster.
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import type { InformerPhase } from '../kube/informer.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { findOwnServiceAccount } from '../kube/own-service-account.ts';
import { createSecretApi, type OwnerReference, type SecretObject } from '../kube/secrets.ts';
import { selectSecret, selectWebhookConfiguration, watchObject } from '../kube/single-object-watch.ts';
import { createWebhookConfigurationApi, type WebhookConfiguration } from '../kube/webhook-configurations.ts';
import { fieldManager, instanceFieldManager, managedByLabel, productName } from '../labels.ts';
import { formatSecretData, hasCaKey, type SecretContent } from './certificate-secret.ts';

/** The Secret that stores managed certificates, and the webhook configuration that publishes their CA. */
export interface CertificateLocation {
  readonly namespace: string;
  readonly secretName: string;
  readonly webhookConfiguration: string;
}

/** The Secret and the webhook configuration as read from the cluster. */
export interface FoundObjects {
  /** Undefined if it does not exist. */
  readonly secret: SecretObject | undefined;
  /** Undefined if it does not exist; an error if RBAC does not allow to read it. */
  readonly configuration: WebhookConfiguration | undefined | KubeError;
}

/** Whether a Secret of the configured name is not managed by this program, so that it must not be changed. */
export function isUnmanaged({ metadata, data = {} }: SecretObject): boolean {
  const isManaged = metadata.labels?.[managedByLabel] === productName || hasCaKey(data);
  return !isManaged && Object.keys(data).length > 0;
}

/** Access to the certificate Secret and the webhook configuration. Every failure is a {@link KubeError}. */
export class CertificateStore {
  readonly #cluster: ClusterConfig;
  readonly #location: CertificateLocation;
  readonly #instance: string;

  /** @param instance distinguishes this process from other replicas; see {@link instanceFieldManager} */
  constructor(cluster: ClusterConfig, location: CertificateLocation, instance: string) {
    this.#cluster = cluster;
    this.#location = location;
    this.#instance = instance;
  }

  /** `NAMESPACE/NAME` of the Secret, for messages. */
  get secretId(): string {
    return `${this.#location.namespace}/${this.#location.secretName}`;
  }

  /**
   * Reads both objects, the webhook configuration first, so that a bundle is never replaced with the CAs of an older Secret.
   */
  async read(): Promise<FoundObjects> {
    const { namespace, secretName, webhookConfiguration } = this.#location;
    const configuration = await this.#createWebhookApi()
      .read(webhookConfiguration)
      .catch((error: unknown) => {
        if (error instanceof KubeError && error.code === 'forbidden') {
          return error;
        }
        throw error;
      });
    return { configuration, secret: await createSecretApi(this.#cluster).read(namespace, secretName) };
  }

  /**
   * Writes the Secret.
   * @throws {KubeError} with code `conflict` if it has changed since it was read
   */
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
    // The type is immutable, so a Secret that was recreated with another type keeps it.
    const object = { metadata, type: secret?.type ?? 'kubernetes.io/tls', data: formatSecretData(content) };
    const options =
      secret === undefined
        ? { fieldManager: instanceFieldManager(this.#instance), force: false }
        : { fieldManager, force: true };
    await createSecretApi(this.#cluster).apply(object, options);
  }

  /**
   * Writes the bundle to all webhooks.
   * @throws {KubeError} with code `invalid` if the configuration has changed since it was read
   */
  async publishCaBundle(configuration: WebhookConfiguration, bundle: string): Promise<void> {
    await this.#createWebhookApi().patchCaBundles(configuration, bundle);
  }

  /**
   * Calls `onChange` whenever one of the two objects may have changed.
   * @returns stops the watches
   */
  watch(
    onChange: () => void,
    onError: (error: KubeError, phase: InformerPhase) => void,
    onObjectError: (error: ObjectError) => void,
  ): () => Promise<void> {
    const { namespace, secretName, webhookConfiguration } = this.#location;
    const objects = [selectSecret(namespace, secretName), selectWebhookConfiguration(webhookConfiguration)];
    const watches = objects.map((object) =>
      watchObject({ config: this.#cluster, object, onChange, onError, onObjectError }),
    );
    for (const watch of watches) {
      void watch.start();
    }
    return async () => {
      await Promise.all(watches.map((watch) => watch.stop()));
    };
  }

  /**
   * Returns the owners of a new Secret: this process's ServiceAccount and the webhook configuration. The garbage collector
   * deletes the Secret when neither exists any more, so the Secret survives a change of the account or of the webhook
   * configuration. Owners are set only on creation, because for later changes the admission plugin
   * OwnerReferencesPermissionEnforcement (enabled in OpenShift) requires permission to delete the Secret.
   */
  async #createOwnerReferences(configuration: FoundObjects['configuration']): Promise<OwnerReference[]> {
    const account = await findOwnServiceAccount(this.#cluster);
    // With an owner in another namespace, the garbage collector would delete the Secret immediately.
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
