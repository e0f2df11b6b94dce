import { setTimeout as wait } from 'node:timers/promises';
import { type Balancer, startBalancer } from '../doubles/tcp-balancer.ts';
import type { RunningProgram } from '../support/program.ts';

/** A Service before replicas: it asks each whether it is ready, and what follows from that comes late, as of kube-proxy. */
export interface ServiceProxy {
  readonly url: string;
  /** Looks after a replica until it has ended. */
  watch(program: RunningProgram): void;
  /** Whether a replica gets new connections now. */
  hasEndpoint(program: RunningProgram): boolean;
  stop(): Promise<void>;
}

/** Between two questions to a replica, ms. */
const periodMs = 50;
const lagMs = { least: 200, most: 500 };

/** @param random gives a number in [0, 1) */
export async function startServiceProxy(random: () => number): Promise<ServiceProxy> {
  const balancer = await startBalancer();
  let stopped = false;
  const follow = async (program: RunningProgram) => {
    let state: State = 'not-ready';
    while (state !== 'gone' && !stopped) {
      const now = await probeState(program);
      if (now !== state) {
        await wait(lagMs.least + random() * (lagMs.most - lagMs.least));
        updateEndpoint(balancer, program.webhookUrl, now);
        state = now;
      }
      await wait(periodMs);
    }
  };
  const followed: Promise<void>[] = [];
  return {
    url: balancer.url,
    watch: (program) => void followed.push(follow(program)),
    hasEndpoint: ({ webhookUrl }) => balancer.urls.includes(webhookUrl),
    stop: async () => {
      stopped = true;
      await Promise.all(followed);
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
