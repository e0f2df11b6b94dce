// The command `sync`: brings Secrets and ServiceAccount references up to date once, and ends.
import type { Registry } from '../ecr/registry.ts';
import { resolveSyncSettings } from '../provisioning/provisioning-settings.ts';
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
import {
  addConfigOption,
  type ConfigOption,
  configOption,
  configSource,
  loadConfig,
} from './config-option.ts';
import { type OutputFormat, printReport, progressOn } from './print-report.ts';
import { syncText } from './report-text.ts';
import { runOnce } from './run-once.ts';
import { syncNamespaces } from './sync-namespaces.ts';

/** Lists are empty if the flag was not given. */
interface SyncOptions extends ConfigOption {
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  readonly registries: readonly string[];
  readonly output: OutputFormat;
}

export const syncCommand = defineCommand<SyncOptions>({
  name: 'sync',
  summary: 'Bring Secrets and ServiceAccounts up to date once, and exit',
  examples: [
    `sync --namespace shop --registry ${exampleHost}`,
    "sync --config config.yaml --namespace 'team-*' --service-account default --output json",
  ],
  declare: (command) =>
    addOutputOption(
      addConfigOption(command)
        .option(
          '--namespace <name>',
          'namespace to update, instead of provisioning.namespaces; may be repeated; * matches any characters',
          collect,
        )
        .option(
          '--service-account <name>',
          'ServiceAccount to update, instead of provisioning.serviceAccounts; may be repeated; * matches any characters',
          collect,
        )
        .option(
          '--registry <host>',
          'ECR host to fetch a token for, instead of provisioning.registries; may be repeated',
          collect,
        ),
    ),
  read: (command) => {
    const {
      namespace = [],
      serviceAccount = [],
      registry = [],
    }: { namespace?: string[]; serviceAccount?: string[]; registry?: string[] } = command.opts();
    checkNames(command, '--namespace', namespace);
    checkNames(command, '--service-account', serviceAccount);
    checkEcrHosts(command, '--registry', registry);
    return {
      ...configOption(command),
      namespaces: namespace,
      serviceAccounts: serviceAccount,
      registries: registry,
      output: outputFormat(command),
    };
  },
  run: runSync,
});

/** @throws {ConfigError}, {KubeConfigError}, or {KubeError} where the namespaces cannot be listed */
async function runSync(options: SyncOptions, context: CommandContext): Promise<number> {
  const config = await loadConfig(options);
  const settings = resolveSyncSettings(config, options, configSource(options));
  const namesFrom = options.namespaces.length > 0 ? '--namespace' : 'provisioning.namespaces.names';
  return await runOnce(config, context, settings.registries, async ({ app, interrupt, calls }) => {
    const { cluster, secrets, secretCache, metadataRollout, resolveRegistry, identities } = app;
    await identities.load(interrupt.signal);
    const progress = progressOn(context.stderr);
    const dependencies = {
      config: cluster,
      settings,
      namesFrom,
      secrets,
      secretCache,
      metadataRollout,
      resolveRegistry,
      isDenied: (namespace: string, registry: Registry) =>
        identities.findDenyingRule(namespace, registry) !== undefined,
      progress,
      interrupt,
      calls,
    };
    return printReport(await syncNamespaces(dependencies), syncText, options.output, context.stdout);
  });
}
