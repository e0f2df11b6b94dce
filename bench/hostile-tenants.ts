// The other tenants: creates their pods and their due Secrets, and measures how an attack affects them.

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

/** Effects on the other tenants. */
export interface Measurements {
  readonly p99Ms: number;
  /** Reviews without a 200 within the API server's timeout. Each counts as a latency of {@link timeoutMs}. */
  readonly failed: number;
  /** From the creation of the due Secrets until the last of them was renewed, or until the time limit. */
  readonly renewalSeconds: number;
  readonly renewed: number;
}

export const dueNamespaces = 20;

const hourMs = 3_600_000;
const timeoutMs = 5_000;
const reviewIntervalMs = 25;
/** One of this many reviews is for the first pod of a namespace. */
const newNamespaceEvery = 10;
const knownNamespaces = 10;
/** As many connections as an API server may keep open to a webhook. They are opened before the attack. */
const connections = 8;

export const hostIn = (region: string): string => `123456789012.dkr.ecr.${region}.amazonaws.com`;

/** Stores a pull Secret as the program would have written it, with tokens that expire in 4 hours or fresh ones. */
export async function storeSecret(
  cluster: ApiStandIn,
  namespace: string,
  host: string,
  state: 'due' | 'fresh',
): Promise<void> {
  const ageMs = state === 'due' ? 8 * hourMs : 0;
  const lifetime = { issuedAt: Date.now() - ageMs, expiresAt: Date.now() - ageMs + 12 * hourMs };
  const content = buildPullSecret(new Map([[host, lifetime]]), 1);
  const path = `${secretPath(namespace)}?fieldManager=ecr-pull-secrets&force=true`;
  const { status, body } = await cluster.request('PATCH', path, content, {
    contentType: 'application/apply-patch+yaml',
  });
  if (status >= 300) {
    throw new Error(`PATCH ${path}: ${status} ${JSON.stringify(body)}`);
  }
}

/** Returns when a namespace's stored token for a host expires, in ms since the epoch, or NaN if there is none. */
export function expiryOf(cluster: ApiStandIn, namespace: string, host: string): number {
  const annotation = cluster.getStored(secretPath(namespace))?.metadata.annotations?.[hostsAnnotation];
  const hosts: Record<string, { expiresAt: string } | null> = JSON.parse(annotation ?? '{}');
  return Date.parse(hosts[host]?.expiresAt ?? '');
}

export function createNamespace(cluster: ApiStandIn, name: string): void {
  cluster.seed(`/api/v1/namespaces/${name}`, { metadata: { name } });
}

/**
 * Sends the review of a pod as the API server does, and returns the latency in ms.
 * @throws if there is no response or its status is not 200
 */
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
  if (response.statusCode !== 200) {
    throw new Error(`status ${response.statusCode}`);
  }
  return performance.now() - started;
}

/** Namespaces of one cluster that use another region in each measurement. */
export class Tenants {
  readonly #cluster: ApiStandIn;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connections });
  #created = 0;

  constructor(cluster: ApiStandIn) {
    this.#cluster = cluster;
  }

  /** Creates namespaces whose Secret has fresh tokens for the region, so that their pods need no I/O. */
  async prepare(region: string): Promise<void> {
    for (let index = 0; index < knownNamespaces; index += 1) {
      createNamespace(this.#cluster, `known-${region}-${index}`);
      await storeSecret(this.#cluster, `known-${region}-${index}`, hostIn(region), 'fresh');
    }
  }

  /** Opens the connections, and sends reviews until the code for them is compiled. */
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
   * Creates pods and due Secrets, and continues until all Secrets are renewed and `minimum` resolves.
   * @param maxWaitMs limits the wait for the renewals
   */
  async measure(
    program: Launched,
    region: string,
    minimum: Promise<unknown>,
    maxWaitMs: number,
  ): Promise<Measurements> {
    const end = new AbortController();
    const reviews = this.#sendPods(program, region, end.signal);
    const renewals = await this.#renewals(program, region, maxWaitMs);
    await minimum.finally(() => end.abort());
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
      await sleep(Math.max(0, started + (count + 1) * reviewIntervalMs - performance.now()));
    }
    return await Promise.all(latencies);
  }

  #namespaceOf(count: number, region: string): string {
    if (count % newNamespaceEvery !== 0) {
      return `known-${region}-${count % knownNamespaces}`;
    }
    this.#created += 1;
    createNamespace(this.#cluster, `new-${this.#created}`);
    return `new-${this.#created}`;
  }

  async #renewals(program: Launched, region: string, maxWaitMs: number) {
    this.#created += 1;
    const namespaces = Array.from({ length: dueNamespaces }, (_, index) => `due-${this.#created}-${index}`);
    const started = performance.now();
    for (const namespace of namespaces) {
      createNamespace(this.#cluster, namespace);
      await storeSecret(this.#cluster, namespace, hostIn(region), 'due');
    }
    let renewed = 0;
    let lastAt = started;
    while (performance.now() - started < maxWaitMs && program.death() === undefined) {
      const now = namespaces.filter((namespace) => this.#isRenewed(namespace, region)).length;
      if (now > renewed) {
        lastAt = performance.now();
      }
      renewed = now;
      if (renewed === namespaces.length) {
        break;
      }
      await sleep(20);
    }
    const until = renewed === namespaces.length ? lastAt : started + maxWaitMs;
    return { renewed, renewalSeconds: (until - started) / 1000 };
  }

  #isRenewed(namespace: string, region: string): boolean {
    return expiryOf(this.#cluster, namespace, hostIn(region)) > Date.now() + 8 * hourMs;
  }
}
