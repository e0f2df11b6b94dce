// Starts the ECR double in a thread of its own, which responds in time while the test itself is busy.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Call } from './aws.ts';

/** The parts of the ECR double that a test can use from another thread. */
export interface EcrDoubleThread {
  /** Environment variables that make an SDK in another process call only the double. */
  readonly environment: Record<string, string>;
  /** Calls of an operation in order of arrival. Await one result before asking for the next. */
  callsOf(operation: string): Promise<readonly Call[]>;
  stop(): Promise<void>;
}

/**
 * Starts the double on a free loopback port. The program waits two seconds for ECR, and a test that creates hundreds of pods
 * can keep its own thread busy for longer.
 */
export async function startEcrDoubleThread(): Promise<EcrDoubleThread> {
  const worker = new Worker(new URL('./ecr-double-worker.ts', import.meta.url));
  const [environment] = await once(worker, 'message');
  return {
    environment,
    callsOf: async (operation) => {
      const response = once(worker, 'message');
      worker.postMessage(operation);
      const [calls] = await response;
      return calls;
    },
    stop: async () => {
      await worker.terminate();
    },
  };
}
