// Admission by mutating webhooks in the API stand-in.
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import type { Target } from './api-resources.ts';
import { internalError, StatusError } from './api-status-error.ts';
import { arrayOr, type KubeObject, objectFrom, objectOr, stringsOf } from './kube-object.ts';
import { applyJsonPatch } from './patching.ts';
import type { User } from './rbac.ts';
import type { Store } from './store.ts';
import { type Operation, type Webhook, webhooksFor } from './webhook-selection.ts';

function denied(webhook: Webhook, { code, message, reason }: Record<string, unknown>): StatusError {
  const why = typeof message === 'string' && message !== '' ? `: ${message}` : ' without explanation';
  const text = `admission webhook "${webhook.name}" denied the request${why}`;
  return new StatusError(
    typeof code === 'number' && code >= 400 ? code : 400,
    typeof reason === 'string' ? reason : '',
    text,
  );
}

/** The patched object. @throws {StatusError} 500 for a patch that does not apply, whatever the failure policy */
function patched(object: KubeObject, patch: string, target: Target): KubeObject {
  try {
    return objectFrom(applyJsonPatch(object, JSON.parse(Buffer.from(patch, 'base64').toString())), target);
  } catch (error) {
    throw internalError(
      `jsonpatch operation does not apply: ${error instanceof Error ? error.message.split('\n')[0] : ''}`,
    );
  }
}

/** Calls the webhooks that a write concerns, one after the other; each sees what the ones before it made. */
export class Admission {
  readonly #store: Store;
  readonly #client = new WebhookClient();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * The object as the webhooks leave it, and their warnings. There is no second pass (`reinvocationPolicy`).
   *
   * @throws {StatusError} where one refuses, fails under failurePolicy Fail, or answers with a patch that does not apply
   */
  async admit(write: ReviewedObject): Promise<{ object: KubeObject; warnings: string[] }> {
    const warnings: string[] = [];
    let { object } = write;
    const labels = stringsOf(object.metadata.labels);
    for (const webhook of webhooksFor(this.#store, write.operation, write.target, labels)) {
      const verdict = await this.#ask(webhook, { ...write, object });
      if (verdict === undefined) {
        continue;
      }
      warnings.push(...verdict.warnings);
      if (!verdict.allowed) {
        throw denied(webhook, verdict.status);
      }
      if (verdict.patch !== undefined) {
        object = patched(object, verdict.patch, write.target);
      }
    }
    return { object, warnings };
  }

  /** Ends the connections to webhooks. */
  close(): void {
    this.#client.close();
  }

  /** Undefined where the webhook failed and its policy is to go on. */
  async #ask(
    { name, url, caBundle, timeoutSeconds, ignoreFailure }: Webhook,
    write: ReviewedObject,
  ): Promise<AdmissionVerdict | undefined> {
    const uid = randomUUID();
    const verdict =
      url === ''
        ? { failure: 'this stand-in reaches webhooks by clientConfig.url only' }
        : parseAdmissionResponse(
            await this.#client.post(
              withTimeout(url, timeoutSeconds),
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
    throw internalError(`failed calling webhook "${name}": ${verdict.failure}`);
  }
}

function withTimeout(url: string, seconds: number): URL {
  const address = new URL(url);
  address.searchParams.set('timeout', `${seconds}s`);
  return address;
}

/** A write that webhooks may change or refuse. */
export interface ReviewedObject {
  operation: Operation;
  target: Target;
  user: User;
  object: KubeObject;
  oldObject?: KubeObject;
  dryRun: boolean;
}

/** What a webhook decided. */
export interface AdmissionVerdict {
  allowed: boolean;
  patch: string | undefined;
  warnings: string[];
  status: Record<string, unknown>;
}

/** The AdmissionReview that asks about a write. */
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

/** The verdict in an answer, or why it is none. k8s.io/apiserver, plugin/webhook/request (VerifyAdmissionResponse). */
function parseAdmissionResponse(
  answer: WebhookResponse,
  uid: string,
): AdmissionVerdict | { failure: string } {
  if ('failure' in answer) {
    return { failure: `failed to call webhook: ${answer.failure}` };
  }
  if (answer.status !== 200) {
    return { failure: `failed to call webhook: the server answered ${answer.status}` };
  }
  let review: Record<string, unknown>;
  try {
    review = objectOr(JSON.parse(answer.body));
  } catch {
    return { failure: 'failed to call webhook: the answer is no JSON' };
  }
  const { allowed, patch, patchType, warnings, status, ...response } = objectOr(review['response']);
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
    warnings: arrayOr(warnings).filter((text) => typeof text === 'string'),
    status: objectOr(status),
  };
}

/** What came back from a webhook: an answer, or the reason why there is none. */
type WebhookResponse = { status: number; body: string } | { failure: string };

/** Connections to webhooks: HTTP/1.1 and kept alive, as the real API server's to a webhook behind a Service. */
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

  /** Ends all connections. */
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
