// Reads and patches the caBundles of a MutatingWebhookConfiguration.
import { isObject, toText } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { patchTypes, sendJson, undefinedIfNotFound } from './request.ts';
import { getMetadata, webhookConfigurationsPath } from './resource.ts';

/** The parts of a MutatingWebhookConfiguration that this program uses. */
export interface WebhookConfiguration {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** The caBundle of each webhook in order, decoded; an empty string if it has none. */
  readonly caBundles: readonly string[];
}

/** Reads and patches the caBundles of a MutatingWebhookConfiguration. Every failure is a `KubeError`. */
export interface WebhookConfigurationApi {
  /** Returns the configuration, or undefined if it does not exist. */
  read(name: string): Promise<WebhookConfiguration | undefined>;
  /**
   * Writes one caBundle to all webhooks, and changes nothing else. Fails with `invalid` if the configuration has changed since it
   * was read.
   */
  patchCaBundles(read: WebhookConfiguration, caBundle: string): Promise<void>;
}

/**
 * Parses a MutatingWebhookConfiguration. A caBundle that is not a string counts as none. Never throws.
 * @internal exported for its tests
 */
export function parseWebhookConfiguration(name: string, object: unknown): WebhookConfiguration {
  const { uid, resourceVersion } = getMetadata(object);
  const listed: unknown = isObject(object) ? object['webhooks'] : undefined;
  const webhooks: unknown[] = Array.isArray(listed) ? listed : [];
  const caBundles = webhooks.map((webhook) => {
    const client = isObject(webhook) ? webhook['clientConfig'] : undefined;
    const encoded = isObject(client) ? client['caBundle'] : undefined;
    return typeof encoded === 'string' ? Buffer.from(encoded, 'base64').toString() : '';
  });
  return {
    name,
    uid: toText(uid),
    resourceVersion: toText(resourceVersion),
    caBundles,
  };
}

/**
 * Creates the API for MutatingWebhookConfigurations.
 * @param fieldManager the owner of the caBundles
 */
export function createWebhookConfigurationApi(
  config: ClusterConfig,
  fieldManager: string,
): WebhookConfigurationApi {
  const getPath = (name: string) => `${webhookConfigurationsPath}/${encodeURIComponent(name)}`;
  return {
    read: async (name) => {
      const operation = `read MutatingWebhookConfiguration ${name}`;
      return await undefinedIfNotFound(async () =>
        parseWebhookConfiguration(
          name,
          await sendJson(config, { method: 'GET', path: getPath(name), operation }),
        ),
      );
    },
    patchCaBundles: async ({ name, resourceVersion, caBundles }, caBundle) => {
      const value = Buffer.from(caBundle).toString('base64');
      // Not an apply, which would create a configuration with incomplete webhooks if none exists.
      const body = [
        // Without this test, the API server would retry the patch on a newer version of the configuration.
        { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
        ...caBundles.map((_, index) => ({
          op: 'add',
          path: `/webhooks/${index}/clientConfig/caBundle`,
          value,
        })),
      ];
      await sendJson(config, {
        method: 'PATCH',
        path: getPath(name),
        query: { fieldManager },
        body,
        contentType: patchTypes.json,
        operation: `patch MutatingWebhookConfiguration ${name}`,
      });
    },
  };
}
