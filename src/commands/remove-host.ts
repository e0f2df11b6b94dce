// The command `remove-host`: removes hosts from the pull Secret of one namespace.

import type { RegistryResolver } from '../ecr/registry.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { listPods } from '../kube/pods.ts';
import { createSecretApi } from '../kube/secrets.ts';
import { type ChangeSecretDependencies, changeSecret } from '../pull-secrets/apply.ts';
import { createHostCollector, type HostsInUse } from '../pull-secrets/hosts-in-use.ts';
import { omitHosts, type SecretContent } from '../pull-secrets/merge.ts';
import type { OperatorMetadata } from '../pull-secrets/operator-metadata.ts';
import { SecretCache } from '../pull-secrets/secret-cache.ts';
import { createSecretStore } from '../pull-secrets/secret-store.ts';
import type { Log } from '../telemetry/log.ts';
import { whenAborted } from '../util/timeout.ts';
import {
  addOutputOption,
  type CommandContext,
  checkEcrHosts,
  checkNames,
  collect,
  defineCommand,
  exampleHost,
  outputFormat,
} from './command.ts';
import { addConfigOption, type ConfigOption, configOption, loadConfig } from './config-option.ts';
import type { Interrupt } from './interrupt.ts';
import { type OutputFormat, printReport } from './print-report.ts';
import { removeHostsText } from './report-text.ts';
import type { HostRemoval, RemoveHostsResult } from './results.ts';
import { runOnce } from './run-once.ts';

interface RemoveHostOptions extends ConfigOption {
  readonly namespace: string;
  readonly hosts: readonly string[];
  readonly dryRun: boolean;
  readonly output: OutputFormat;
}

export const removeHostCommand = defineCommand<RemoveHostOptions>({
  name: 'remove-host',
  summary: 'Remove unused ECR hosts from the pull Secret of one namespace',
  examples: [
    `remove-host --namespace shop --dry-run ${exampleHost}`,
    `remove-host --namespace shop ${exampleHost}`,
  ],
  declare: (command) =>
    addOutputOption(
      addConfigOption(
        command
          .usage('--namespace <name> [options] <host...>')
          .argument('[host...]', 'ECR hosts to remove')
          .option('--namespace <name>', 'namespace of the Secret, without *', collect)
          .option('--dry-run', 'list what would be removed, and remove nothing'),
      ),
    ),
  read: (command) => {
    const { namespace: namespaces = [], dryRun = false }: { namespace?: string[]; dryRun?: boolean } =
      command.opts();
    const [namespace, ...others] = namespaces;
    if (namespace === undefined || others.length > 0 || namespace.includes('*')) {
      return command.error('remove-host needs exactly one --namespace, without *');
    }
    checkNames(command, '--namespace', namespaces);
    const hosts = [...new Set(command.args)];
    if (hosts.length === 0) {
      return command.error(`remove-host needs at least one HOST, such as ${exampleHost}`);
    }
    checkEcrHosts(command, 'remove-host', hosts);
    return { ...configOption(command), namespace, hosts, dryRun, output: outputFormat(command) };
  },
  run: runRemoveHost,
});

/** @throws {ConfigError}, {KubeConfigError}, and as {@link removeHosts} */
async function runRemoveHost(options: RemoveHostOptions, context: CommandContext): Promise<number> {
  const config = await loadConfig(options);
  return await runOnce(config, context, undefined, async ({ app, log, interrupt }) => {
    const { namespace, hosts, dryRun, output } = options;
    const result = await removeHosts({
      config: app.cluster,
      ...{ secretName: config.secretName, namespace, hosts, dryRun },
      configured: config.provisioning.registries,
      operatorMetadata: config.secrets,
      listPods: (of, onPod) => listPods(app.cluster, of, onPod),
      resolveRegistry: app.resolveRegistry,
      interrupt,
      log,
    });
    return printReport(result, removeHostsText, output, context.stdout);
  });
}

/** @internal exported for its tests */
export interface RemoveHostsDependencies {
  readonly config: ClusterConfig;
  readonly secretName: string;
  readonly namespace: string;
  readonly hosts: readonly string[];
  /** Hosts of `provisioning.registries`: the running program would add them again. */
  readonly configured: readonly string[];
  /** The labels and annotations that every write sets. */
  readonly operatorMetadata: OperatorMetadata;
  readonly resolveRegistry: RegistryResolver;
  /** Only report what would be removed. */
  readonly dryRun: boolean;
  /** Passes each pod of a namespace that has not ended to `onPod`. Rejects with KubeError. */
  listPods(namespace: string, onPod: (pod: unknown) => void): Promise<void>;
  /** Until the Secret is written, an interrupt ends the command without a change. After that, it has no effect. */
  readonly interrupt?: Interrupt;
  readonly log: Log;
}

/**
 * Removes hosts and their entries from a namespace's pull Secret, unless a pod of the namespace uses them. Running replicas
 * take the write for one of the program, so they do not restore the hosts.
 * @throws {KubeError} without the right to list pods or to write the Secret, and `conflict` where the Secret was edited
 *   by hand and is not repaired yet
 * @throws {UnmanagedSecretError} where the Secret is not managed
 * @internal exported for its tests
 */
export async function removeHosts(dependencies: RemoveHostsDependencies): Promise<RemoveHostsResult> {
  const { namespace, hosts, dryRun, interrupt } = dependencies;
  const writing = changeDependencies(dependencies);
  let removals = await workUnlessInterrupted(interrupt, (onWrite) =>
    removeUnused(dependencies, writing, onWrite),
  );
  if (removals === undefined) {
    removals = hosts.map((host) => ({ host, outcome: 'interrupted' }));
  } else if (!dryRun) {
    removals = await restoreInUse(removals, writing, dependencies);
  }
  const failed = removals.filter(({ outcome }) => outcome === 'in-use' || outcome === 'configured').length;
  const interrupted = interrupt?.received;
  return { namespace, dryRun, hosts: removals, failed, ...(interrupted !== undefined && { interrupted }) };
}

/** The command was interrupted before it wrote. */
class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** @returns undefined where the command was interrupted before the work called `onWrite` */
async function workUnlessInterrupted<T>(
  interrupt: Interrupt | undefined,
  start: (onWrite: () => void) => Promise<T>,
): Promise<T | undefined> {
  let hasWritten = false;
  const work = start(() => {
    if (interrupt?.signal.aborted === true && !hasWritten) {
      throw new InterruptedError();
    }
    hasWritten = true;
  });
  try {
    return interrupt === undefined
      ? await work
      : await Promise.race([work, whenAborted(interrupt.signal).then(() => (hasWritten ? work : undefined))]);
  } catch (error) {
    if (error instanceof InterruptedError) {
      return undefined;
    }
    throw error;
  }
}

/** @param onWrite called before the Secret is written; what it throws ends the work */
async function removeUnused(
  dependencies: RemoveHostsDependencies,
  writing: ChangeSecretDependencies,
  onWrite: () => void,
): Promise<HostRemoval[]> {
  const { namespace, hosts } = dependencies;
  let removals: HostRemoval[] = hosts.map((host) => ({ host, outcome: 'not-found' }));
  await changeSecret(
    namespace,
    async (present, state) => {
      if (state === 'modified') {
        throw notRepaired(dependencies);
      }
      const inUse = await hostsInUse(dependencies);
      onWrite();
      removals = hosts.map((host) => removalOf(host, present, inUse, dependencies));
      const dropped = removals.filter(({ outcome }) => outcome === 'removed').map(({ host }) => host);
      return dropped.length === 0
        ? undefined
        : { content: omitHosts(present, new Set(dropped)), dropped, reason: 'removed' as const };
    },
    writing,
  );
  return removals;
}

function removalOf(
  host: string,
  present: SecretContent,
  inUse: HostsInUse,
  { configured, dryRun }: RemoveHostsDependencies,
): HostRemoval {
  const pod = inUse.get(host);
  if (!present.hosts.has(host) && present.unconfigured?.has(host) !== true) {
    return { host, outcome: 'not-found' };
  }
  if (pod !== undefined) {
    return { host, outcome: 'in-use', pod };
  }
  if (configured.includes(host)) {
    return { host, outcome: 'configured' };
  }
  return { host, outcome: dryRun ? 'would-remove' : 'removed' };
}

/** Adds back the hosts of pods that were created in the meantime; these hosts wait for their tokens again. */
async function restoreInUse(
  removals: readonly HostRemoval[],
  writing: ChangeSecretDependencies,
  dependencies: RemoveHostsDependencies,
): Promise<HostRemoval[]> {
  if (!removals.some(({ outcome }) => outcome === 'removed')) {
    return [...removals];
  }
  const inUse = await hostsInUse(dependencies);
  const checked = removals.map((removal): HostRemoval => {
    const pod = removal.outcome === 'removed' ? inUse.get(removal.host) : undefined;
    return pod === undefined ? removal : { host: removal.host, outcome: 'in-use', pod };
  });
  const restored = checked.filter((one, index) => one !== removals[index]).map(({ host }) => host);
  if (restored.length > 0) {
    await changeSecret(
      dependencies.namespace,
      async (present) => ({ content: withWaiting(present, restored) }),
      writing,
    );
  }
  return checked;
}

function withWaiting(present: SecretContent, added: readonly string[]): SecretContent {
  const missing = added.filter((host) => !present.hosts.has(host));
  const requested = missing.map((host) => [host, Date.now()] as const);
  return {
    ...present,
    hosts: new Map([...present.hosts, ...missing.map((host) => [host, undefined] as const)]),
    requestedAt: new Map([...present.requestedAt, ...requested]),
  };
}

async function hostsInUse({
  listPods,
  namespace,
  resolveRegistry,
}: RemoveHostsDependencies): Promise<HostsInUse> {
  const { hosts, add } = createHostCollector(resolveRegistry);
  await listPods(namespace, add);
  return hosts;
}

function notRepaired({ namespace, secretName }: RemoveHostsDependencies): KubeError {
  const operation = `remove hosts from Secret ${namespace}/${secretName}`;
  const detail = 'the Secret was edited and is not repaired yet; run the command again in a minute';
  return new KubeError({ code: 'conflict', operation, detail });
}

function changeDependencies({
  config,
  secretName,
  operatorMetadata,
  resolveRegistry,
  log,
}: RemoveHostsDependencies): ChangeSecretDependencies {
  return {
    store: createSecretStore(createSecretApi(config), secretName, 'remove-host', operatorMetadata),
    secretCache: new SecretCache(resolveRegistry),
    resolveRegistry,
    log,
    isPersistent: true,
    countWrite: () => undefined,
  };
}
