import type { ClusterConfig } from '../kube/config.ts';
import { KubeError } from '../kube/errors.ts';
import { secretNamed, watchNamed, webhookConfigurationNamed } from '../kube/named.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { type SecretObject, secretApi } from '../kube/secrets.ts';
import { type WebhookConfiguration, webhookConfigurationApi } from '../kube/webhook-configuration.ts';
import { type Content, dataOf, holdsAuthorityKey } from './stored.ts';

/** Where managed certificates are kept, and where their CA is made known. */
export interface Place {
  readonly namespace: string;
  readonly secretName: string;
  readonly webhookConfiguration: string;
}

/** What is in the cluster. */
export interface Found {
  readonly secret: SecretObject | undefined;
  /** An error: we have no right to read it. */
  readonly configuration: WebhookConfiguration | undefined | KubeError;
}

const ourName = 'ecr-pull-secrets';
const managedBy = 'app.kubernetes.io/managed-by';

/** Whether a Secret of our name was made by somebody else, and is to be left alone. */
export function isForeign({ metadata, data = {} }: SecretObject): boolean {
  const ours = metadata.labels?.[managedBy] === ourName || holdsAuthorityKey(data);
  return !ours && Object.keys(data).length > 0;
}

/** The one Secret and the one webhook configuration. Every failure is a {@link KubeError}. */
export class CertificateStore {
  readonly #cluster: ClusterConfig;
  readonly #place: Place;
  readonly #instance: string;

  /** @param instance tells this process from other replicas: see src/secrets/store.ts */
  constructor(cluster: ClusterConfig, place: Place, instance: string) {
    this.#cluster = cluster;
    this.#place = place;
    this.#instance = instance;
  }

  /**
   * Reads both: first the configuration, so that a bundle is never written from a Secret that is older than the bundle
   * it replaces.
   */
  async find(): Promise<Found> {
    const { namespace, secretName, webhookConfiguration } = this.#place;
    const configuration = await this.#webhooks()
      .read(webhookConfiguration)
      .catch((error: unknown) => {
        if (error instanceof KubeError && error.code === 'forbidden') return error;
        throw error;
      });
    return { configuration, secret: await secretApi(this.#cluster).read(namespace, secretName) };
  }

  /** Writes the Secret; `conflict` where it is no longer as it was found. */
  async write({ secret }: Found, content: Content): Promise<void> {
    const { namespace, secretName: name } = this.#place;
    const { uid, resourceVersion } = secret?.metadata ?? {};
    const labels = { [managedBy]: ourName };
    const metadata = {
      ...{ namespace, name, labels },
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
    };
    // A type cannot be changed: a Secret that somebody made anew keeps the one that it got.
    const object = { metadata, type: secret?.type ?? 'kubernetes.io/tls', data: dataOf(content) };
    const how =
      secret === undefined
        ? { fieldManager: `${ourName}-${this.#instance}`, force: false }
        : { fieldManager: ourName, force: true };
    await secretApi(this.#cluster).apply(object, how);
  }

  /** Puts the bundle into all webhooks; `invalid` where the configuration is no longer as it was found. */
  async publish(configuration: WebhookConfiguration, bundle: string): Promise<void> {
    await this.#webhooks().publish(configuration, bundle);
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
    const { namespace, secretName, webhookConfiguration } = this.#place;
    const objects = [secretNamed(namespace, secretName), webhookConfigurationNamed(webhookConfiguration)];
    const watches = objects.map((object) =>
      watchNamed({ config: this.#cluster, object, onChange, onError, onObjectError }),
    );
    for (const watch of watches) void watch.start();
    return async () => {
      await Promise.all(watches.map((watch) => watch.stop()));
    };
  }

  #webhooks() {
    return webhookConfigurationApi(this.#cluster, ourName);
  }
}
