// What the composition root gets from a command or a test.
import type { Config } from './config/schema.ts';
import type { DeniedHost } from './ecr/identity.ts';
import type { Registry } from './ecr/registry.ts';
import type { Log } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';

export interface AppDependencies {
  readonly config: Config;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly metrics: Pick<
    Metrics,
    'countEcrCall' | 'countSecretWrite' | 'countDroppedHosts' | 'countForgottenHosts'
  >;
  /** Registries that the operator named. Their endpoints are trusted to exist. */
  readonly configuredRegistries: readonly Registry[];
  /** Whether the cache of Secrets is current, so that the API server need not be asked. */
  isInSync(): boolean;
  /** How long to wait for ECR before a Secret is written without the token, in ms; 2,000 if not given. */
  readonly maxWaitMs?: number;
  /** Called after hosts were removed from a Secret because rules deny them to its namespace. */
  onDenied?(namespace: string, hosts: readonly DeniedHost[]): void;
  /** Whether failed writes are retried for up to a minute, because no renewal follows. */
  readonly isPersistent?: boolean;
  /** The wall clock in ms. */
  now(): number;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
}
