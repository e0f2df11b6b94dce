// Runs the ECR double in a worker thread: see ecr-double-thread.ts.
import { parentPort } from 'node:worker_threads';
import { startEcrDouble } from './ecr-double.ts';

const ecr = await startEcrDouble();
parentPort?.on('message', (operation: string) => parentPort?.postMessage(ecr.callsOf(operation)));
parentPort?.postMessage(ecr.env());
