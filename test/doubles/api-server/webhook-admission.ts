// Admission by mutating webhooks in the API stand-in.
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import type { Target } from './api-resources.ts';
import { createInternalError, StatusError } from './api-status-error.ts';
import { getStringEntries, type KubeObject, parseObject, toArray, toObject } from './kube-object.ts';
import { applyJsonPatch } from './patching.ts';
import type { User } from './rbac.ts';
import type { Store } from './store.ts';
import { type Operation, selectWebhooks, type Webhook } from './webhook-selection.ts';

function createDenial(webhook: Webhook, { code, message, reason }: Record<string, unknown>): StatusError {
  const why = typeof message === 'string' && message !== '' ? `: ${message}` : ' without explanation';
  const text = `admission webhook "${webhook.name}" denied the request${why}`;
  return new StatusError(
    typeof code === 'number' && code >= 400 ? code : 400,
    typeof reason === 'string' ? reason : '',
    text,
  );
}

/** Patches the object. @throws {StatusError} 500 for a patch that does not apply, with any failure policy */
function applyWebhookPatch(object: KubeObject, patch: string, target: Target): KubeObject {
  try {
    return parseObject(applyJsonPatch(object, JSON.parse(Buffer.from(patch, 'base64').toString())), target);
  } catch (error) {
    throw createInternalError(
      `jsonpatch operation does not apply: ${error instanceof Error ? error.message.split('\n')[0] : ''}`,
    );
  }
}

/** Calls the webhooks of a write one after the other. Each receives the object as the previous ones patched it. */
export class Admission {
  readonly #store: Store;
  readonly #client = new WebhookClient();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Returns the object after all webhooks, and their warnings. There is no second pass (`reinvocationPolicy`).
   *
   * @throws {StatusError} if a webhook denies the write, fails with failurePolicy Fail, or returns a patch that does not apply
   */
  async admit(write: ReviewedObject): Promise<{ object: KubeObject; warnings: string[] }> {
    const warnings: string[] = [];
    let { object } = write;
    const labels = getStringEntries(object.metadata.labels);
    for (const webhook of selectWebhooks(this.#store, write.operation, write.target, labels)) {
      const verdict = await this.#callWebhook(webhook, { ...write, object });
      if (verdict === undefined) {
        continue;
      }
      warnings.push(...verdict.warnings);
      if (!verdict.allowed) {
        throw createDenial(webhook, verdict.status);
      }
      if (verdict.patch !== undefined) {
        object = applyWebhookPatch(object, verdict.patch, write.target);
      }
    }
    return { object, warnings };
  }

  /** Closes the connections to webhooks. */
  close(): void {
    this.#client.close();
  }

  /** Returns undefined if the webhook failed and its failurePolicy is Ignore. */
  async #callWebhook(
    { name, url, caBundle, timeoutSeconds, ignoreFailure }: Webhook,
    write: ReviewedObject,
  ): Promise<AdmissionVerdict | undefined> {
    const uid = randomUUID();
    const verdict =
      url === ''
        ? { failure: 'this stand-in calls webhooks with clientConfig.url only' }
        : parseAdmissionResponse(
            await this.#client.post(
              addTimeout(url, timeoutSeconds),
              caBundle,
              buildAdmissionReview(write, uid),
              timeoutSeconds * 1000,
            ),
            uid,
          );
    if (!('failure' in verdict)) {
      return verdict;
    }
    if (ignoreFailure) {
      return undefined;
    }
    throw createInternalError(`failed calling webhook "${name}": ${verdict.failure}`);
  }
}

function addTimeout(url: string, seconds: number): URL {
  const address = new URL(url);
  address.searchParams.set('timeout', `${seconds}s`);
  return address;
}

/** A write that webhooks can change or deny. */
export interface ReviewedObject {
  operation: Operation;
  target: Target;
  user: User;
  object: KubeObject;
  oldObject?: KubeObject;
  dryRun: boolean;
}

/** The decision of a webhook. */
export interface AdmissionVerdict {
  allowed: boolean;
  patch: string | undefined;
  warnings: string[];
  status: Record<string, unknown>;
}

/** Builds the AdmissionReview for a write. */
function buildAdmissionReview(
  { operation, target, user, object, oldObject, dryRun }: ReviewedObject,
  uid: string,
): object {
  const { group, version, kind, resource } = target.resource;
  const subResource = target.subresource === '' ? {} : { subResource: target.subresource };
  const gvk = { group, version, kind };
  const gvr = { group, version, resource };
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid,
      kind: gvk,
      resource: gvr,
      ...subResource,
      requestKind: gvk,
      requestResource: gvr,
      ...(target.subresource !== '' && { requestSubResource: target.subresource }),
      ...(object.metadata.name !== '' && { name: object.metadata.name }),
      namespace: target.namespace,
      operation,
      userInfo: user,
      object,
      oldObject: oldObject ?? null,
      dryRun,
      options: {
        kind: operation === 'CREATE' ? 'CreateOptions' : 'UpdateOptions',
        apiVersion: 'meta.k8s.io/v1',
      },
    },
  };
}

/** Parses a response, or returns why it is invalid. Source: k8s.io/apiserver, plugin/webhook/request (VerifyAdmissionResponse). */
function parseAdmissionResponse(
  webhookResponse: WebhookResponse,
  uid: string,
): AdmissionVerdict | { failure: string } {
  if ('failure' in webhookResponse) {
    return { failure: `failed to call webhook: ${webhookResponse.failure}` };
  }
  if (webhookResponse.status !== 200) {
    return { failure: `failed to call webhook: the server responded with ${webhookResponse.status}` };
  }
  let review: Record<string, unknown>;
  try {
    review = toObject(JSON.parse(webhookResponse.body));
  } catch {
    return { failure: 'failed to call webhook: the response is not JSON' };
  }
  const { allowed, patch, patchType, warnings, status, ...response } = toObject(review['response']);
  if (review['apiVersion'] !== 'admission.k8s.io/v1' || review['kind'] !== 'AdmissionReview') {
    return {
      failure:
        'received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview',
    };
  }
  if (response['uid'] !== uid) {
    return {
      failure: `received invalid webhook response: expected response.uid="${uid}", got "${response['uid'] ?? ''}"`,
    };
  }
  if ((patch === undefined) !== (patchType === undefined) || (patchType ?? 'JSONPatch') !== 'JSONPatch') {
    return {
      failure: 'received invalid webhook response: response.patch and response.patchType must come together',
    };
  }
  return {
    allowed: allowed === true,
    patch: typeof patch === 'string' ? patch : undefined,
    warnings: toArray(warnings).filter((text) => typeof text === 'string'),
    status: toObject(status),
  };
}

/** The HTTP response of a webhook, or the reason why there is none. */
type WebhookResponse = { status: number; body: string } | { failure: string };

/** Calls webhooks on HTTP/1.1 keep-alive connections, as the real API server calls a webhook behind a Service. */
class WebhookClient {
  readonly #agents = new Map<string, Agent>();

  /** Posts a review. Never rejects. */
  post(url: URL, caBundle: string, review: unknown, timeoutMs: number): Promise<WebhookResponse> {
    const body = JSON.stringify(review);
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, */*',
      'content-length': Buffer.byteLength(body),
    };
    return new Promise((resolve) => {
      const fail = (error: Error): void => resolve({ failure: `Post "${url.href}": ${error.message}` });
      const options = {
        method: 'POST',
        agent: this.#agent(caBundle),
        headers,
        signal: AbortSignal.timeout(timeoutMs),
      };
      const call = request(url, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
      });
      call.on('error', fail);
      call.end(body);
    });
  }

  /** Closes all connections. */
  close(): void {
    for (const agent of this.#agents.values()) {
      agent.destroy();
    }
  }

  #agent(caBundle: string): Agent {
    const known = this.#agents.get(caBundle);
    if (known !== undefined) {
      return known;
    }
    // Without a bundle, the system's CAs are used.
    const ca = caBundle === '' ? {} : { ca: Buffer.from(caBundle, 'base64').toString() };
    const agent = new Agent({ keepAlive: true, ...ca });
    this.#agents.set(caBundle, agent);
    return agent;
  }
}
