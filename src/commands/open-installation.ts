// Finds the installation that doctor, status and similar commands examine, and reads its configuration.
import { access } from 'node:fs/promises';
import packageJson from '../../package.json' with { type: 'json' };
import { ConfigError, readConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import type { CheckResult } from '../diagnosis/check.ts';
import type { Installation } from '../diagnosis/installation.ts';
import { type ClusterConfig, getOwnNamespace, loadKubeConfig } from '../kube/client.ts';
import { type ConfigMapFile, listConfigMapFiles } from '../kube/config-maps.ts';
import { KubeError } from '../kube/errors.ts';
import { productName } from '../labels.ts';
import type { CommandContext } from './command.ts';
import { loadConfig } from './config-option.ts';
import type { InstallationOptions } from './installation-options.ts';

/** The configuration file in the image, where the chart mounts its ConfigMap. */
const mountedConfigFile = '/etc/ecr-pull-secrets/config/config.yaml';

export interface OpenInstallation {
  readonly installation: Installation;
  /** Why `installation.config` holds the defaults and not the settings of the installation; undefined if it holds those. */
  readonly problem: CheckResult | undefined;
  /** Closes the connections to the API server. */
  close(): Promise<void>;
}

/** A configuration, and where it comes from. */
interface FoundConfig {
  readonly config: Config;
  readonly problem?: CheckResult;
  /** The namespace of the ConfigMap. */
  readonly namespace?: string;
}

/**
 * Finds the installation. With a configuration file, given by --config or mounted in this container, the viewpoint is `inside`.
 * Otherwise it is `outside`, and the configuration is read from the ConfigMap of the chart.
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
    return opened(
      { viewpoint: 'inside', config: found.config, cluster, namespace, environment },
      found.problem,
    );
  }
  const cluster = connect(options, undefined);
  try {
    const { config, problem, namespace } = await findConfig(cluster, options.installNamespace, signal);
    return opened({ viewpoint: 'outside', config, cluster, namespace, environment }, problem);
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

function opened(installation: Installation, problem: CheckResult | undefined): OpenInstallation {
  return { installation, problem, close: () => installation.cluster.close() };
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}

const check = 'configuration-valid';
const page = 'reference/configuration.md';

async function readConfigFile(configFile: string): Promise<FoundConfig> {
  try {
    return { config: await loadConfig({ configFile }) };
  } catch (error) {
    return {
      config: readConfig('', 'the default configuration'),
      problem: describeConfigError(error, configFile),
    };
  }
}

/** @throws an error that is not about the configuration */
function describeConfigError(error: unknown, source: string): CheckResult {
  if (!(error instanceof ConfigError)) {
    throw error;
  }
  return {
    check,
    outcome: 'failed',
    summary: `${source} cannot be used`,
    meaning: 'The program does not start with this configuration, so no pod gets a pull Secret',
    remedy: 'Correct the settings below, in the values of the chart if it is installed with Helm',
    page,
    details: error.problems.map(({ path, text }) => (path === '' ? text : `${path} ${text}`)),
  };
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

/** @throws {ConfigError} if several installations are found */
async function findConfig(
  cluster: ClusterConfig,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<FoundConfig> {
  const defaults = readConfig('', 'the default configuration');
  const known = namespace === undefined ? {} : { namespace };
  try {
    const files = await findConfigMaps(cluster, namespace, signal);
    const [file] = files;
    if (file === undefined) {
      return { config: defaults, problem: notInstalled(namespace), ...known };
    }
    if (files.length > 1) {
      throw new ConfigError('the cluster', [{ path: '', text: describeSeveral(files) }]);
    }
    return readConfigMap(file, defaults);
  } catch (error) {
    if (error instanceof KubeError) {
      return { config: defaults, problem: notRead(error), ...known };
    }
    throw error;
  }
}

function readConfigMap({ namespace, name, content }: ConfigMapFile, defaults: Config): FoundConfig {
  const source = `config.yaml of ConfigMap ${namespace}/${name}`;
  try {
    return { config: readConfig(content, source), namespace };
  } catch (error) {
    return { config: defaults, problem: describeConfigError(error, source), namespace };
  }
}

const nameLabel = 'app.kubernetes.io/name';
const chartLabel = 'helm.sh/chart';

/** The namespace that the documentation uses. */
const usualNamespace = productName;

/**
 * Finds the ConfigMap of the chart. `nameOverride` changes the label with the name, so in a known namespace the label with the
 * chart identifies it too.
 */
async function findConfigMaps(
  cluster: ClusterConfig,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<ConfigMapFile[]> {
  const list = async (of: string | undefined, selector: string) => {
    const labelKeys = new Set([nameLabel, chartLabel]);
    const files = await listConfigMapFiles(
      cluster,
      { namespace: of, selector, key: 'config.yaml', labelKeys },
      signal,
    );
    return files.filter(
      ({ labels }) => labels[nameLabel] === productName || labels[chartLabel]?.startsWith(`${productName}-`),
    );
  };
  if (namespace !== undefined) {
    return await list(namespace, nameLabel);
  }
  const byName = `${nameLabel}=${productName}`;
  const usual = await list(usualNamespace, byName).catch((error: unknown) => {
    if (error instanceof KubeError && error.code === 'forbidden') {
      return [];
    }
    throw error;
  });
  return usual.length > 0 ? usual : await list(undefined, byName);
}

/** Installations that a message names. */
const maxNamed = 5;

function describeSeveral(files: readonly ConfigMapFile[]): string {
  const names = files.slice(0, maxNamed).map(({ namespace, name }) => `${namespace}/${name}`);
  const more = files.length > maxNamed ? ` and ${files.length - maxNamed} more` : '';
  return `has several installations (ConfigMaps ${names.join(', ')}${more}); select one with --install-namespace`;
}

function notInstalled(namespace: string | undefined): CheckResult {
  const where = namespace === undefined ? 'any namespace' : `namespace ${namespace}`;
  return {
    check,
    outcome: 'failed',
    summary: `no ConfigMap of an installation exists in ${where}`,
    meaning: 'The chart is not installed in this cluster, or it is installed in another namespace',
    remedy: 'Install the chart, or select its namespace with --install-namespace',
    page: 'how-to/install.md',
  };
}

function notRead(error: KubeError): CheckResult {
  const isForbidden = error.code === 'forbidden' || error.code === 'unauthorized';
  return {
    check,
    outcome: 'skipped',
    summary: isForbidden
      ? `you may not list ConfigMaps (verb list, resource configmaps), so the defaults are assumed`
      : `the configuration was not read, because the API server did not respond as expected (${error.code})`,
    remedy: isForbidden
      ? 'Select the namespace of the installation with --install-namespace, or ask for the right to list its ConfigMaps'
      : undefined,
    page,
  };
}
