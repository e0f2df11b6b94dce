// Finds the installation that doctor, status and similar commands examine, and reads its configuration.
import { access } from 'node:fs/promises';
import packageJson from '../../package.json' with { type: 'json' };
import { readDefaultConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import type { CheckResult } from '../diagnosis/check.ts';
import type { ConfigSource, Installation } from '../diagnosis/installation.ts';
import { type ClusterConfig, getOwnNamespace, loadKubeConfig } from '../kube/client.ts';
import { productName } from '../labels.ts';
import type { CommandContext } from './command.ts';
import { loadConfig } from './config-option.ts';
import { describeConfigError, type FoundConfig, findConfig } from './find-config.ts';
import type { InstallationOptions } from './installation-options.ts';

/** The configuration file in the image, where the chart mounts its ConfigMap. */
const mountedConfigFile = '/etc/ecr-pull-secrets/config/config.yaml';

export interface OpenInstallation {
  readonly installation: Installation;
  /** Why `installation.config` holds the defaults and not the settings of the installation; undefined if it holds those. */
  readonly problem: CheckResult | undefined;
  /** Undefined if no configuration was found. */
  readonly source: ConfigSource | undefined;
  /** Closes the connections to the API server. */
  close(): Promise<void>;
}

/**
 * Finds the installation. With a configuration file, given by --config or mounted in this container, the viewpoint is `inside`.
 * Otherwise it is `outside`, and the configuration is read from the ConfigMap of the chart, see {@link findConfig}.
 * @throws {KubeConfigError} if the kubeconfig cannot be used
 * @throws {ConfigError} if several installations are found
 */
export async function openInstallation(
  options: InstallationOptions,
  { environment }: Pick<CommandContext, 'environment'>,
  signal: AbortSignal = new AbortController().signal,
): Promise<OpenInstallation> {
  const configFile =
    options.configFile ?? ((await exists(mountedConfigFile)) ? mountedConfigFile : undefined);
  if (configFile !== undefined) {
    const found = await readConfigFile(configFile);
    const cluster = connect(options, found.config);
    const namespace =
      options.installNamespace ?? found.config.certificates.namespace ?? getOwnNamespace(cluster);
    return opened({ viewpoint: 'inside', config: found.config, cluster, namespace, environment }, found);
  }
  const cluster = connect(options, undefined);
  try {
    const found = await findConfig(cluster, options.installNamespace, signal);
    const { config, namespace } = found;
    return opened({ viewpoint: 'outside', config, cluster, namespace, environment }, found);
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

function opened(installation: Installation, { problem, source }: FoundConfig): OpenInstallation {
  return { installation, problem, source, close: () => installation.cluster.close() };
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}

async function readConfigFile(configFile: string): Promise<FoundConfig> {
  const source = { name: configFile, foundBy: 'given' } as const;
  try {
    return { config: await loadConfig({ configFile }), source };
  } catch (error) {
    const config = readDefaultConfig();
    return { config, problem: describeConfigError(error, configFile), source };
  }
}

/** Outside the installation, timeouts and kubeconfig of its configuration do not apply to the caller. */
function connect({ kubeconfig, context }: InstallationOptions, config: Config | undefined): ClusterConfig {
  const { requestTimeout, writeTimeout, kubeconfig: configured } = config?.kubernetes ?? {};
  return loadKubeConfig({
    kubeconfigPath: kubeconfig ?? configured,
    context,
    requestTimeoutMs: requestTimeout ?? defaultRequestTimeoutMs,
    writeTimeoutMs: writeTimeout,
    userAgent: `${productName}/${packageJson.version}`,
  });
}

const defaultRequestTimeoutMs = 10_000;
