// What an attack is: how it starts and ends, and what it finds.
import type { ApiStandIn } from '../test/doubles/api-server/api-stand-in.ts';
import type { EcrDouble } from '../test/doubles/ecr/ecr-double.ts';
import type { Launched } from './hostile-launch.ts';

/** What an attack can reach, and where its effect shows. */
export interface Scene {
  readonly cluster: ApiStandIn;
  readonly ecr: EcrDouble;
  program: Launched;
  /** Stops the program and starts it again. */
  restart(): Promise<void>;
}

/** An effect of an attack that the common measures do not cover. */
export interface Finding {
  readonly note: string;
  /** Whether it meets its goal; not set if there is no goal. */
  readonly met?: boolean;
}

export interface Attack {
  readonly name: string;
  /** Minimum duration of the measurement, and how long the renewals of the other tenants may take, in ms. */
  readonly watchMs: number;
  readonly renewWithinMs: number;
  readonly stalledReader?: boolean;
  /** The `registries` of the configuration; none if not given. */
  readonly registries?: readonly object[];
  /** Resolves when the attack has started. */
  start(scene: Scene): Promise<Started>;
}

export interface Started {
  /** Resolves when all of its connections and requests have started; the measurement lasts until then. Not set if they have. */
  readonly complete?: Promise<unknown>;
  /** Ends the attack after the measurement. */
  end(): Promise<readonly Finding[]>;
}
