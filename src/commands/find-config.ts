// Finds the configuration of an installation in the cluster: the ConfigMap of the chart.
import { ConfigError, readConfig, readDefaultConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import type { CheckResult } from '../diagnosis/check.ts';
import type { ConfigSource } from '../diagnosis/installation.ts';
import { findInstallationNamespaces } from '../diagnosis/installation-namespaces.ts';
import type { ClusterConfig } from '../kube/client.ts';
import {
  type ConfigMapName,
  type ConfigMapNames,
  listConfigMapNames,
  readConfigMapKey,
} from '../kube/config-maps.ts';
import { KubeError } from '../kube/errors.ts';
import { productName } from '../labels.ts';

/** A configuration, and where it comes from. */
export interface FoundConfig {
  readonly config: Config;
  /** Why `config` holds the defaults. */
  readonly problem?: CheckResult;
  readonly source?: ConfigSource;
  /** The namespace of the installation. */
  readonly namespace?: string;
}

/** The namespace that the documentation uses. */
const usualNamespace = productName;

const check = 'configuration-valid';
const page = 'reference/configuration.md';

/**
 * Reads the ConfigMap of the chart: in the given namespace, otherwise where objects of the cluster say that the program is installed,
 * otherwise in the usual namespace. Only if all that names none, it is searched in all namespaces by its label, which tenants can set.
 * @throws {ConfigError} if several installations are found
 */
export async function findConfig(
  cluster: ClusterConfig,
  given: string | undefined,
  signal: AbortSignal,
): Promise<FoundConfig> {
  const defaults = readDefaultConfig();
  let namespaces = given === undefined ? [] : [given];
  try {
    if (given === undefined) {
      namespaces = [...(await findInstallationNamespaces(cluster, signal))];
    }
    const { foundBy, ...found }: FoundNames =
      namespaces.length === 0
        ? await search(cluster, signal)
        : {
            ...(await listIn(cluster, namespaces, signal)),
            foundBy: given === undefined ? 'cluster' : 'given',
          };
    const file = await readOne(cluster, found, signal);
    return file === undefined
      ? { config: defaults, problem: notInstalled(namespaces), ...single(namespaces) }
      : parseFile(file, foundBy, defaults);
  } catch (error) {
    if (error instanceof KubeError) {
      return { config: defaults, problem: notRead(error), ...single(namespaces) };
    }
    throw error;
  }
}

function single(namespaces: readonly string[]): { namespace?: string } {
  const [namespace, ...others] = namespaces;
  return namespace === undefined || others.length > 0 ? {} : { namespace };
}

const nameLabel = 'app.kubernetes.io/name';
const chartLabel = 'helm.sh/chart';

/** ConfigMaps that are examined. The chart has one with the configuration, and one with a dashboard. */
const maxExamined = 10;

async function list(
  cluster: ClusterConfig,
  namespace: string | undefined,
  selector: string,
  signal: AbortSignal,
): Promise<ConfigMapNames> {
  const selection = {
    ...{ namespace, selector, maxNames: maxExamined, labelKeys: new Set([nameLabel, chartLabel]) },
    matches: (labels: Readonly<Record<string, string>>) =>
      labels[nameLabel] === productName || labels[chartLabel]?.startsWith(`${productName}-`) === true,
  };
  return await listConfigMapNames(cluster, selection, signal);
}

/** `nameOverride` changes the label with the name, so in a known namespace the label with the chart identifies the ConfigMap too. */
async function listIn(
  cluster: ClusterConfig,
  namespaces: readonly string[],
  signal: AbortSignal,
): Promise<ConfigMapNames> {
  const found = await Promise.all(namespaces.map((namespace) => list(cluster, namespace, nameLabel, signal)));
  return {
    names: found.flatMap(({ names }) => names),
    count: found.reduce((sum, { count }) => sum + count, 0),
  };
}

interface FoundNames extends ConfigMapNames, Pick<ConfigSource, 'foundBy'> {}

async function search(cluster: ClusterConfig, signal: AbortSignal): Promise<FoundNames> {
  const usual = await list(cluster, usualNamespace, nameLabel, signal).catch((error: unknown) => {
    if (error instanceof KubeError && error.code === 'forbidden') {
      return { names: [], count: 0 };
    }
    throw error;
  });
  return usual.count > 0
    ? { ...usual, foundBy: 'usual' }
    : { ...(await list(cluster, undefined, `${nameLabel}=${productName}`, signal)), foundBy: 'label' };
}

interface ConfigFile extends ConfigMapName {
  readonly content: string;
}

/**
 * Reads the ConfigMap that holds a configuration. Keeps the content of one only.
 * @throws {ConfigError} if there are several
 */
async function readOne(
  cluster: ClusterConfig,
  { names, count }: ConfigMapNames,
  signal: AbortSignal,
): Promise<ConfigFile | undefined> {
  if (count > names.length) {
    throw several(names, true);
  }
  let file: ConfigFile | undefined;
  const found: ConfigMapName[] = [];
  for (const name of names) {
    const content = await readConfigMapKey(cluster, name, 'config.yaml', signal);
    if (content !== undefined) {
      found.push(name);
      file ??= { ...name, content };
    }
  }
  if (found.length > 1) {
    throw several(found, false);
  }
  return file;
}

/** Installations that a message names. */
const maxNamed = 5;

function several(found: readonly ConfigMapName[], hasMore: boolean): ConfigError {
  const names = found.slice(0, maxNamed).map(({ namespace, name }) => `${namespace}/${name}`);
  const more = hasMore || found.length > maxNamed ? ' and more' : '';
  const text = `has several installations (ConfigMaps ${names.join(', ')}${more}); select one with --install-namespace, or its configuration with --config`;
  return new ConfigError('the cluster', [{ path: '', text }]);
}

function parseFile(
  { namespace, name, content }: ConfigFile,
  foundBy: ConfigSource['foundBy'],
  defaults: Config,
): FoundConfig {
  const known = { namespace, source: { name: `ConfigMap ${namespace}/${name}`, foundBy } };
  const text = `config.yaml of ${known.source.name}`;
  try {
    return { ...known, config: readConfig(content, text) };
  } catch (error) {
    return { ...known, config: defaults, problem: describeConfigError(error, text) };
  }
}

/** @throws an error that is not about the configuration */
export function describeConfigError(error: unknown, source: string): CheckResult {
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

function notInstalled(namespaces: readonly string[]): CheckResult {
  const where =
    namespaces.length === 0
      ? 'any namespace'
      : `${namespaces.length === 1 ? 'namespace' : 'the namespaces'} ${namespaces.join(', ')}`;
  return {
    check,
    outcome: 'failed',
    summary: `no ConfigMap of an installation exists in ${where}`,
    meaning: 'The chart is not installed in this cluster, or it is installed in another namespace',
    remedy: 'Install the chart, or select its namespace with --install-namespace',
    page: 'how-to/install.md',
  };
}

function notRead({ code, isAborted }: KubeError): CheckResult {
  const isForbidden = code === 'forbidden' || code === 'unauthorized';
  const why = isAborted
    ? 'you interrupted the command'
    : `the API server did not respond as expected (${code})`;
  return {
    check,
    outcome: 'skipped',
    summary: isForbidden
      ? 'you may not list ConfigMaps (verb list, resource configmaps), so the defaults are assumed'
      : `the configuration was not read, because ${why}`,
    remedy: isForbidden
      ? 'Select the namespace of the installation with --install-namespace, or ask for the right to list its ConfigMaps'
      : undefined,
    page,
  };
}
