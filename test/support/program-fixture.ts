// Starts an API server, the ECR double and the program for a suite.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { installServiceAccount, type RegisteredWebhook, registerWebhook } from './installation.ts';
import { type Admitted, createPod, type Pod } from './pods.ts';
import { type RunningProgram, startProgram } from './program.ts';
import { readPullSecret, type StoredPullSecret } from './pull-secret.ts';
import type { TestApiServer } from './test-api-server.ts';

/** An API server, the program with the permissions of its ServiceAccount, and the ECR double. */
export interface ProgramFixture {
  readonly apiServer: TestApiServer;
  readonly ecr: EcrDouble;
  readonly program: RunningProgram;
  /** The kubeconfig of the program's ServiceAccount. */
  readonly kubeconfigPath: string;
  createNamespace(): Promise<string>;
  createPod(namespace: string, pod: Pod, options?: { dryRun?: boolean }): Promise<Admitted>;
  pullSecret(namespace: string): Promise<StoredPullSecret | undefined>;
  /** Calls to AWS for a region so far. */
  callsIn(region: string): number;
}

/** The host of a region. Each test uses its own region, because the program caches tokens by region. */
export const hostIn = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;

/** Starts the fixture before the tests of a suite and stops it after them. The returned function returns it within tests. */
export function setUpProgram(
  apiServer: () => TestApiServer,
  config: Record<string, unknown> = {},
): () => ProgramFixture {
  let fixture: ProgramFixture | undefined;
  const cleanups: (() => Promise<unknown>)[] = [];
  before(async () => {
    const ecr = await startEcrDouble();
    cleanups.push(() => ecr.stop());
    const kubeconfigPath = await installServiceAccount(apiServer());
    const program = await startProgram({ kubeconfigPath, environment: ecr.env(), config });
    cleanups.push(() => program.stop());
    const webhook: RegisteredWebhook = await registerWebhook(apiServer(), program);
    cleanups.push(() => webhook.remove());
    fixture = {
      apiServer: apiServer(),
      ecr,
      program,
      kubeconfigPath,
      createNamespace: () => webhook.createNamespace(),
      createPod: (namespace, pod, options) => createPod(apiServer(), namespace, pod, options),
      pullSecret: (namespace) => readPullSecret(apiServer(), namespace),
      callsIn: (region) => ecr.calls.filter((call) => call.region === region).length,
    };
  });
  after(async () => {
    for (const cleanUp of cleanups.reverse()) {
      await cleanUp();
    }
  });
  return () => {
    assert.ok(fixture, 'the fixture is available within tests only');
    return fixture;
  };
}

/** Fails if the output or the metrics of the program contain a secret that the ECR double has issued. */
export async function assertNoSecretLeaked({ ecr, program }: ProgramFixture): Promise<void> {
  const shown = program.output() + (await program.metrics());
  for (const secret of ecr.secrets()) {
    assert.ok(!shown.includes(secret));
    assert.ok(!shown.includes(btoa(secret).slice(0, 20)));
  }
}
