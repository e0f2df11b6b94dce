import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { installAccount, type Registered, registerWebhook } from './installation.ts';
import { type Admitted, createPod, type Pod } from './pods.ts';
import { type RunningProgram, startProgram } from './program.ts';
import { readPullSecret, type StoredPullSecret } from './pull-secret.ts';
import type { Ground } from './test-api-server.ts';

/** An API server, the program with its ServiceAccount's rights, and ECR. */
export interface Setting {
  readonly ground: Ground;
  readonly ecr: EcrDouble;
  readonly program: RunningProgram;
  /** Of the program's ServiceAccount. */
  readonly kubeconfigPath: string;
  createNamespace(): Promise<string>;
  createPod(namespace: string, pod: Pod, options?: { dryRun?: boolean }): Promise<Admitted>;
  pullSecret(namespace: string): Promise<StoredPullSecret | undefined>;
  /** Calls of AWS for a region so far. */
  callsIn(region: string): number;
}

/** The host of a region; each test has one of its own, because the program remembers tokens by region. */
export const hostIn = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;

/** Starts all of it before the tests of a suite and ends it after them; gives it within tests. */
export function setUp(ground: () => Ground, config: Record<string, unknown> = {}): () => Setting {
  let setting: Setting | undefined;
  const ends: (() => Promise<unknown>)[] = [];
  before(async () => {
    const ecr = await startEcrDouble();
    ends.push(() => ecr.stop());
    const kubeconfigPath = await installAccount(ground());
    const program = await startProgram({ kubeconfigPath, environment: ecr.env(), config });
    ends.push(() => program.stop());
    const webhook: Registered = await registerWebhook(ground(), program);
    ends.push(() => webhook.remove());
    setting = {
      ground: ground(),
      ecr,
      program,
      kubeconfigPath,
      createNamespace: () => webhook.createNamespace(),
      createPod: (namespace, pod, options) => createPod(ground(), namespace, pod, options),
      pullSecret: (namespace) => readPullSecret(ground(), namespace),
      callsIn: (region) => ecr.calls.filter((call) => call.region === region).length,
    };
  });
  after(async () => {
    for (const end of ends.reverse()) {
      await end();
    }
  });
  return () => {
    assert.ok(setting, 'the setting is there within tests only');
    return setting;
  };
}

/** Looks for every secret that the ECR double has made in all that the program has written and counted so far. */
export async function assertNothingShown({ ecr, program }: Setting): Promise<void> {
  const shown = program.output() + (await program.metrics());
  for (const secret of ecr.secrets()) {
    assert.ok(!shown.includes(secret));
    assert.ok(!shown.includes(btoa(secret).slice(0, 20)));
  }
}
