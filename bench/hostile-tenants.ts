// The tenants that do nothing wrong: their pods, and their Secrets that are due for renewal.

import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostsAnnotation } from '../src/labels.ts';
import type { ApiStandIn } from '../test/doubles/api-server/api-stand-in.ts';
import { buildPullSecret } from '../test/support/bulk-requests.ts';
import { secretPath } from '../test/support/pull-secret.ts';
import { buildPodReview } from '../test/webhook/admission-reviews.ts';
import type { Launched } from './hostile-launch.ts';

/** What other tenants noticed. */
export interface Noticed {
  readonly p99Ms: number;
  /** Reviews without a 200, or none within the API server's timeout; each counts as {@link timeoutMs}. */
  readonly failed: number;
  /** From the moment a Secret became due until the last of them was renewed; at most the time that was granted. */
  readonly renewalSeconds: number;
  readonly renewed: number;
}

export const dueNamespaces = 20;

const hourMs = 3_600_000;
const timeoutMs = 5_000;
const reviewEveryMs = 25;
/** Every so many reviews are for the first pod of a namespace. */
const newNamespaceEvery = 10;
const knownNamespaces = 10;
/** As many connections as an API server may keep to a webhook. They are there before the attack. */
const connections = 8;

export const hostIn = (region: string): string => `123456789012.dkr.ecr.${region}.amazonaws.com`;

/** Stores a pull Secret as the program would have left it, with tokens that expire in 4 hours, or fresh ones. */
export async function storeSecret(
  cluster: ApiStandIn,
  namespace: string,
  host: string,
  state: 'due' | 'fresh',
): Promise<void> {
  const ageMs = state === 'due' ? 8 * hourMs : 0;
  const life = { issuedAt: Date.now() - ageMs, expiresAt: Date.now() - ageMs + 12 * hourMs };
  const content = buildPullSecret(new Map([[host, life]]), 1);
  const path = `${secretPath(namespace)}?fieldManager=ecr-pull-secrets&force=true`;
  const { status, body } = await cluster.request('PATCH', path, content, {
    contentType: 'application/apply-patch+yaml',
  });
  if (status >= 300) throw new Error(`PATCH ${path}: ${status} ${JSON.stringify(body)}`);
}

/** When a namespace's stored token for a host expires, in ms since the epoch; NaN where there is none. */
export function expiryOf(cluster: ApiStandIn, namespace: string, host: string): number {
  const annotation = cluster.stored(secretPath(namespace))?.metadata.annotations?.[hostsAnnotation];
  const hosts: Record<string, { expiresAt: string } | null> = JSON.parse(annotation ?? '{}');
  return Date.parse(hosts[host]?.expiresAt ?? '');
}

export function createNamespace(cluster: ApiStandIn, name: string): void {
  cluster.seed(`/api/v1/namespaces/${name}`, { metadata: { name } });
}

/** Sends the review of a pod as the API server does, and gives the time to its answer in ms. Throws where there is none. */
export async function reviewPod(
  { webhookUrl, caPem }: Pick<Launched, 'webhookUrl' | 'caPem'>,
  namespace: string,
  hosts: readonly string[],
  agent?: Agent,
): Promise<number> {
  const containers = hosts.map((host, index) => ({ name: `c${index}`, image: `${host}/app:1` }));
  const started = performance.now();
  const request = httpsRequest(`${webhookUrl}?timeout=5s`, {
    method: 'POST',
    ca: caPem,
    headers: { 'content-type': 'application/json' },
    signal: AbortSignal.timeout(timeoutMs),
    ...(agent !== undefined && { agent }),
  });
  request.end(
    JSON.stringify(buildPodReview({ metadata: { name: 'app' }, spec: { containers } }, { namespace })),
  );
  const [response] = await once(request, 'response');
  await text(response);
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  return performance.now() - started;
}

/** Namespaces of one cluster that use a region of their own in each measurement. */
export class Tenants {
  readonly #cluster: ApiStandIn;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connections });
  #created = 0;

  constructor(cluster: ApiStandIn) {
    this.#cluster = cluster;
  }

  /** Creates namespaces whose Secret has fresh tokens for the region, so that their pods need no I/O. */
  async settleIn(region: string): Promise<void> {
    for (let index = 0; index < knownNamespaces; index += 1) {
      createNamespace(this.#cluster, `known-${region}-${index}`);
      await storeSecret(this.#cluster, `known-${region}-${index}`, hostIn(region), 'fresh');
    }
  }

  /** Opens the connections, and has the program compile what runs for each pod. */
  async warmUp(program: Launched, region: string): Promise<void> {
    for (let round = 0; round < 50; round += 1) {
      const namespace = `known-${region}-${round % knownNamespaces}`;
      const reviews = Array.from({ length: connections }, () =>
        reviewPod(program, namespace, [hostIn(region)], this.#agent),
      );
      await Promise.all(reviews);
    }
  }

  /**
   * Sends pods, makes Secrets due, and goes on until all of them are renewed and `watched` resolves.
   * @param atMostMs ends the wait for the renewals
   */
  async measure(
    program: Launched,
    region: string,
    watched: Promise<unknown>,
    atMostMs: number,
  ): Promise<Noticed> {
    const end = new AbortController();
    const reviews = this.#sendPods(program, region, end.signal);
    const renewals = await this.#renewals(program, region, atMostMs);
    await watched.finally(() => end.abort());
    const latencies = (await reviews).toSorted((a, b) => a - b);
    return {
      p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
      failed: latencies.filter((latency) => latency >= timeoutMs).length,
      ...renewals,
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  async #sendPods(program: Launched, region: string, end: AbortSignal): Promise<number[]> {
    const latencies: Promise<number>[] = [];
    const started = performance.now();
    for (let count = 0; !end.aborted && program.death() === undefined; count += 1) {
      const namespace = this.#namespaceOf(count, region);
      latencies.push(reviewPod(program, namespace, [hostIn(region)], this.#agent).catch(() => timeoutMs));
      await sleep(Math.max(0, started + (count + 1) * reviewEveryMs - performance.now()));
    }
    return await Promise.all(latencies);
  }

  #namespaceOf(count: number, region: string): string {
    if (count % newNamespaceEvery !== 0) return `known-${region}-${count % knownNamespaces}`;
    this.#created += 1;
    createNamespace(this.#cluster, `new-${this.#created}`);
    return `new-${this.#created}`;
  }

  async #renewals(program: Launched, region: string, atMostMs: number) {
    this.#created += 1;
    const namespaces = Array.from({ length: dueNamespaces }, (_, index) => `due-${this.#created}-${index}`);
    const started = performance.now();
    for (const namespace of namespaces) {
      createNamespace(this.#cluster, namespace);
      await storeSecret(this.#cluster, namespace, hostIn(region), 'due');
    }
    let renewed = 0;
    let lastAt = started;
    while (performance.now() - started < atMostMs && program.death() === undefined) {
      const now = namespaces.filter((namespace) => this.#isRenewed(namespace, region)).length;
      if (now > renewed) lastAt = performance.now();
      renewed = now;
      if (renewed === namespaces.length) break;
      await sleep(20);
    }
    const until = renewed === namespaces.length ? lastAt : started + atMostMs;
    return { renewed, renewalSeconds: (until - started) / 1000 };
  }

  #isRenewed(namespace: string, region: string): boolean {
    return expiryOf(this.#cluster, namespace, hostIn(region)) > Date.now() + 8 * hourMs;
  }
}
