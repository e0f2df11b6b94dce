// What one entry of the table of broken setups consists of.
import type { DoctorChanges } from './doctor-process.ts';
import type { HealthyInstallation } from './healthy-installation.ts';

/** A broken setup that exists now. */
export interface Broken extends DoctorChanges {
  /** Repairs it, so that the installation is healthy again. */
  repair(): Promise<unknown>;
}

/** One way in which pods do not get their images, and what doctor says about it. */
export interface BrokenSetup {
  /** In a few words, unique. */
  readonly name: string;
  /** What is broken, as a sentence without a final period, for the documentation. */
  readonly broken: string;
  /** The command that reveals it, after the name of the program. */
  readonly command: readonly string[];
  /** `inside`: in the program's pod. `outside`: as an administrator with a kubeconfig. */
  readonly from: 'inside' | 'outside';
  /** The name of the first failed check. */
  readonly check: string;
  /** Its summary, in which `…` stands for any text. */
  readonly summary: string;
  /** Checks that fail as a consequence, after the first. All others must not fail. */
  readonly consequences?: readonly string[];
  /** Breaks the installation. */
  break(installation: HealthyInstallation): Promise<Broken>;
}

/** Whether a summary is the one that the table has. */
export function matchesSummary(expected: string, actual: string): boolean {
  const parts = expected.split('…').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(actual);
}
