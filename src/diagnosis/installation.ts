// The installation that doctor and status examine.
import type { Config } from '../config/schema.ts';
import type { ClusterConfig } from '../kube/client.ts';
import type { CheckResult } from './check.ts';

/**
 * From where an installation is examined. `inside`: with the program's own configuration, credentials and ServiceAccount, such as
 * in its pod. `outside`: with those of the caller, such as on a laptop.
 */
export type Viewpoint = 'inside' | 'outside';

/** Where the configuration of the installation comes from. */
export interface ConfigSource {
  /** `ConfigMap NAMESPACE/NAME`, or the path of a file. */
  readonly name: string;
  /**
   * How it was found. `given`: it is the program's own file, or the caller named the file or the namespace. `usual`: the namespace is
   * the one that the documentation uses. `cluster`: an object of the cluster names the namespace. `label`: by its label in all
   * namespaces, so every tenant who may create ConfigMaps could have created it.
   */
  readonly foundBy: 'given' | 'usual' | 'cluster' | 'label';
}

/** An installation of the program, and how it is examined. */
export interface Installation {
  readonly viewpoint: Viewpoint;
  readonly config: Config;
  /** The connection of the caller to the API server. */
  readonly cluster: ClusterConfig;
  /** The namespace in which the chart is installed; undefined if it is not known. */
  readonly namespace: string | undefined;
  /** The environment of this process. It contains the program's AWS credentials only if the viewpoint is `inside`. */
  readonly environment: NodeJS.ProcessEnv;
}

/**
 * A group of checks: resolves with at least one result, and never rejects because of what it finds. Missing rights of the caller
 * are `skipped` results. If aborted, it resolves with what it has found.
 */
export type CheckGroupRunner = (
  installation: Installation,
  signal: AbortSignal,
) => Promise<readonly CheckResult[]>;
