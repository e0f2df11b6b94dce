import { Agent, request } from 'node:https';

/** What came back from a webhook: an answer, or the reason why there is none. */
export type WebhookAnswer = { status: number; body: string } | { failure: string };

/** Connections to webhooks: HTTP/1.1 and kept alive, as the real API server's to a webhook behind a Service. */
export class WebhookClient {
  readonly #agents = new Map<string, Agent>();

  /** Posts a review. Never rejects. */
  post(url: URL, caBundle: string, review: unknown, timeoutMs: number): Promise<WebhookAnswer> {
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
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #agent(caBundle: string): Agent {
    const known = this.#agents.get(caBundle);
    if (known !== undefined) return known;
    // No bundle: the system's authorities decide.
    const ca = caBundle === '' ? {} : { ca: Buffer.from(caBundle, 'base64').toString() };
    const agent = new Agent({ keepAlive: true, ...ca });
    this.#agents.set(caBundle, agent);
    return agent;
  }
}
