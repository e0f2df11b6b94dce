// Simulates a Service with endpoints for a set of replicas.
import { setTimeout as wait } from 'node:timers/promises';
import { type Balancer, startBalancer } from '../doubles/tcp-balancer.ts';
import type { RunningProgram } from '../support/program.ts';

/** Probes the readiness of replicas, and updates the endpoints with a delay, like kube-proxy. */
export interface ServiceProxy {
  readonly url: string;
  /** Probes a replica until it has exited. */
  watch(program: RunningProgram): void;
  /** Whether a replica receives new connections. */
  hasEndpoint(program: RunningProgram): boolean;
  stop(): Promise<void>;
}

/** Time between two probes of a replica, in ms. */
const probeIntervalMs = 50;
/** Delay until a change of readiness takes effect, in ms. */
const delayMs = { min: 200, max: 500 };

/** @param random returns a number in [0, 1) */
export async function startServiceProxy(random: () => number): Promise<ServiceProxy> {
  const balancer = await startBalancer();
  let stopped = false;
  const probe = async (program: RunningProgram) => {
    let state: State = 'not-ready';
    while (state !== 'gone' && !stopped) {
      const now = await probeState(program);
      if (now !== state) {
        await wait(delayMs.min + random() * (delayMs.max - delayMs.min));
        updateEndpoint(balancer, program.webhookUrl, now);
        state = now;
      }
      await wait(probeIntervalMs);
    }
  };
  const probes: Promise<void>[] = [];
  return {
    url: balancer.url,
    watch: (program) => void probes.push(probe(program)),
    hasEndpoint: ({ webhookUrl }) => balancer.urls.includes(webhookUrl),
    stop: async () => {
      stopped = true;
      await Promise.all(probes);
      await balancer.stop();
    },
  };
}

type State = 'ready' | 'not-ready' | 'gone';

async function probeState({ statusUrl }: RunningProgram): Promise<State> {
  try {
    const { ok } = await fetch(`${statusUrl}/readyz`, { signal: AbortSignal.timeout(3_000) });
    return ok ? 'ready' : 'not-ready';
  } catch {
    return 'gone';
  }
}

function updateEndpoint(balancer: Balancer, url: string, state: State): void {
  if (state === 'ready') {
    balancer.add(url);
  } else {
    balancer.remove(url);
  }
}
