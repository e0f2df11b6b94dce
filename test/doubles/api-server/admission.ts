import { randomUUID } from 'node:crypto';
import { Failure, internalError } from './failure.ts';
import { type KubeObject, objectFrom, stringsOf } from './objects.ts';
import { jsonPatched } from './patching.ts';
import type { Target } from './resources.ts';
import { type Admitted, reviewOf, type Verdict, verdictOf } from './review.ts';
import type { Store } from './store.ts';
import { WebhookClient } from './webhook-call.ts';
import { type Webhook, webhooksFor } from './webhooks.ts';

function denied(webhook: Webhook, { code, message, reason }: Record<string, unknown>): Failure {
  const why = typeof message === 'string' && message !== '' ? `: ${message}` : ' without explanation';
  const text = `admission webhook "${webhook.name}" denied the request${why}`;
  return new Failure(
    typeof code === 'number' && code >= 400 ? code : 400,
    typeof reason === 'string' ? reason : '',
    text,
  );
}

/** The patched object. @throws {Failure} 500 for a patch that does not apply, whatever the failure policy */
function patched(object: KubeObject, patch: string, target: Target): KubeObject {
  try {
    return objectFrom(jsonPatched(object, JSON.parse(Buffer.from(patch, 'base64').toString())), target);
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
   * @throws {Failure} where one refuses, fails under failurePolicy Fail, or answers with a patch that does not apply
   */
  async admit(write: Admitted): Promise<{ object: KubeObject; warnings: string[] }> {
    const warnings: string[] = [];
    let { object } = write;
    const labels = stringsOf(object.metadata.labels);
    for (const webhook of webhooksFor(this.#store, write.operation, write.target, labels)) {
      const verdict = await this.#ask(webhook, { ...write, object });
      if (verdict === undefined) continue;
      warnings.push(...verdict.warnings);
      if (!verdict.allowed) throw denied(webhook, verdict.status);
      if (verdict.patch !== undefined) object = patched(object, verdict.patch, write.target);
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
    write: Admitted,
  ): Promise<Verdict | undefined> {
    const uid = randomUUID();
    const verdict =
      url === ''
        ? { failure: 'this stand-in reaches webhooks by clientConfig.url only' }
        : verdictOf(
            await this.#client.post(
              withTimeout(url, timeoutSeconds),
              caBundle,
              reviewOf(write, uid),
              timeoutSeconds * 1000,
            ),
            uid,
          );
    if (!('failure' in verdict)) return verdict;
    if (ignoreFailure) return undefined;
    throw internalError(`failed calling webhook "${name}": ${verdict.failure}`);
  }
}

function withTimeout(url: string, seconds: number): URL {
  const address = new URL(url);
  address.searchParams.set('timeout', `${seconds}s`);
  return address;
}
