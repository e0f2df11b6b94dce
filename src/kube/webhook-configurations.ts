import { AdmissionregistrationV1Api, PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { isObject } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { createApiConfiguration, undefinedIfNotFound, withKubeErrors } from './client.ts';
import { getMetadata } from './resource.ts';

/** A MutatingWebhookConfiguration, as much of it as we look at. */
export interface WebhookConfiguration {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Of each webhook, in order: its caBundle as text; empty where it has none. */
  readonly caBundles: readonly string[];
}

/** Reads and changes the caBundles of a MutatingWebhookConfiguration. Every failure is a {@link KubeError}. */
export interface WebhookConfigurationApi {
  /** The configuration, or undefined where there is none. */
  read(name: string): Promise<WebhookConfiguration | undefined>;
  /**
   * Puts one caBundle into all of its webhooks, and changes nothing else; `invalid` where the configuration is not the
   * one that was read any more.
   */
  patchCaBundles(read: WebhookConfiguration, caBundle: string): Promise<void>;
}

/** Keeps of an object what {@link WebhookConfiguration} has. A caBundle that is not a text counts as none. Never throws. */
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
    uid: typeof uid === 'string' ? uid : '',
    resourceVersion: typeof resourceVersion === 'string' ? resourceVersion : '',
    caBundles,
  };
}

/**
 * Makes the calls on the API server that the config names.
 * @param fieldManager who owns the caBundles, for the API server
 */
export function createWebhookConfigurationApi(
  config: ClusterConfig,
  fieldManager: string,
): WebhookConfigurationApi {
  const api = new AdmissionregistrationV1Api(createApiConfiguration(config));
  return {
    read: async (name) =>
      await undefinedIfNotFound(`read MutatingWebhookConfiguration ${name}`, async () =>
        parseWebhookConfiguration(name, await api.readMutatingWebhookConfiguration({ name })),
      ),
    patchCaBundles: async ({ name, resourceVersion, caBundles }, caBundle) => {
      const value = Buffer.from(caBundle).toString('base64');
      // Not an apply: that one would make a configuration where there is none, with webhooks that are not whole.
      const body = [
        // A patch is tried again by the API server on whatever is there by then, unless it says what it is for.
        { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
        ...caBundles.map((_, index) => ({
          op: 'add',
          path: `/webhooks/${index}/clientConfig/caBundle`,
          value,
        })),
      ];
      const asJsonPatch = setHeaderOptions('Content-Type', PatchStrategy.JsonPatch);
      await withKubeErrors(`patch MutatingWebhookConfiguration ${name}`, () =>
        api.patchMutatingWebhookConfiguration({ name, body, fieldManager }, asJsonPatch),
      );
    },
  };
}
