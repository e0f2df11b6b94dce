// The command `uninstall`: removes managed Secrets, and the references to them in ServiceAccounts.
import pLimit from 'p-limit';
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { listSecretMetadata } from '../kube/secret-metadata.ts';
import { createSecretApi, deleteSecret } from '../kube/secrets.ts';
import { removeReference } from '../kube/service-account-references.ts';
import {
  createServiceAccountApi,
  listServiceAccounts,
  type ServiceAccount,
} from '../kube/service-accounts.ts';
import { isManagedSecret } from '../pull-secrets/apply.ts';
import { UnmanagedSecretError } from '../pull-secrets/unavailable-host.ts';
import { retry } from '../util/retry.ts';
import { addOutputOption, type CommandContext, defineCommand, outputFormat } from './command.ts';
import { addConfigOption, type ConfigOption, configOption, loadConfig } from './config-option.ts';
import { type CallsInFlight, finishWork, type Interrupt } from './interrupt.ts';
import { type OutputFormat, printReport } from './print-report.ts';
import { uninstallText } from './report-text.ts';
import { failureOf, type Removal, type UninstallResult } from './results.ts';
import { runOnce } from './run-once.ts';

interface UninstallOptions extends ConfigOption {
  readonly dryRun: boolean;
  readonly output: OutputFormat;
}

export const uninstallCommand = defineCommand<UninstallOptions>({
  name: 'uninstall',
  summary: 'Remove managed Secrets, and the references to them in ServiceAccounts',
  examples: ['uninstall --dry-run', 'uninstall --yes --config config.yaml'],
  declare: (command) =>
    addOutputOption(
      addConfigOption(
        command
          .usage('--dry-run|--yes [options]')
          .option('--dry-run', 'list what would be removed, and remove nothing')
          .option('--yes', 'remove what --dry-run lists'),
      ),
    ),
  read: (command) => {
    const { dryRun = false, yes = false }: { dryRun?: boolean; yes?: boolean } = command.opts();
    if (dryRun === yes) {
      command.error(
        'uninstall takes either --dry-run, which only lists what would be removed, or --yes, which removes it',
      );
    }
    return { ...configOption(command), dryRun, output: outputFormat(command) };
  },
  run: runUninstall,
});

/** @throws {ConfigError}, {KubeConfigError}, or {KubeError} where the objects cannot be listed */
async function runUninstall(options: UninstallOptions, context: CommandContext): Promise<number> {
  const config = await loadConfig(options);
  return await runOnce(config, context, undefined, async ({ app, interrupt, calls }) => {
    const [{ secretName }, { dryRun, output }] = [config, options];
    const result = await uninstall({ config: app.cluster, secretName, dryRun, interrupt, calls });
    return printReport(result, uninstallText, output, context.stdout);
  });
}

interface UninstallDependencies {
  readonly config: ClusterConfig;
  readonly secretName: string;
  /** Only report what would be removed. */
  readonly dryRun: boolean;
  readonly interrupt: Interrupt;
  readonly calls: CallsInFlight;
}

const maxConcurrentRemovals = 8;
/** A running replica may write a Secret between the read and the deletion. */
const maxAttempts = 5;

/**
 * Removes what the program added to the cluster: references to Secrets of its name in ServiceAccounts, then the managed
 * Secrets of that name. An unmanaged Secret is reported and skipped.
 * @throws {KubeError} where the objects cannot be listed; nothing is changed then
 */
async function uninstall(dependencies: UninstallDependencies): Promise<UninstallResult> {
  const { dryRun, interrupt, calls } = dependencies;
  const tasks = await plannedRemovals(dependencies);
  const removals: (Removal | undefined)[] = tasks.map(({ removal }) => ({
    ...removal,
    outcome: 'interrupted',
  }));
  const limit = pLimit(maxConcurrentRemovals);
  const removeAll = (kind: Removal['kind']) =>
    Promise.all(
      tasks.map(({ removal, run }, index) =>
        removal.kind !== kind
          ? undefined
          : limit(async () => {
              if (!interrupt.signal.aborted) {
                removals[index] = await run();
              }
            }),
      ),
    );
  const work = removeAll('ServiceAccount').then(() => removeAll('Secret'));
  await finishWork(work, interrupt.signal, calls);
  const reported = removals.filter((removal) => removal !== undefined);
  return {
    dryRun,
    removals: reported,
    failed: reported.filter(({ outcome }) => outcome === 'failed').length,
    ...(interrupt.received !== undefined && { interrupted: interrupt.received }),
  };
}

interface RemovalTask {
  readonly removal: Omit<Removal, 'outcome'>;
  /** Never rejects. Resolves with undefined where the object is gone already. */
  run(): Promise<Removal | undefined>;
}

/** Lists the references and Secrets to remove; none where the command was interrupted. */
async function plannedRemovals(dependencies: UninstallDependencies): Promise<RemovalTask[]> {
  const { config, secretName, interrupt } = dependencies;
  try {
    const accounts = await listServiceAccounts(config, {}, interrupt.signal);
    const secrets = (await listSecretMetadata(config, secretName, interrupt.signal)).items;
    return [
      ...accounts
        .filter(({ managedReference }) => managedReference === secretName)
        .map((account) => ({
          removal: { kind: 'ServiceAccount' as const, namespace: account.namespace, name: account.name },
          run: () => removeFrom(account, dependencies),
        })),
      ...secrets.map(({ namespace }) => ({
        removal: { kind: 'Secret' as const, namespace, name: secretName },
        run: () => removeSecret(namespace, dependencies),
      })),
    ];
  } catch (error) {
    if (interrupt.signal.aborted) {
      return [];
    }
    throw error;
  }
}

async function removeFrom(
  { namespace, name }: ServiceAccount,
  { config, dryRun }: UninstallDependencies,
): Promise<Removal> {
  const removal = { kind: 'ServiceAccount', namespace, name } as const;
  try {
    if (!dryRun) {
      await removeReference(createServiceAccountApi(config), namespace, name);
    }
    return { ...removal, outcome: dryRun ? 'would-remove' : 'removed' };
  } catch (error) {
    return { ...removal, outcome: 'failed', failure: failureOf(`ServiceAccount ${name}`, error) };
  }
}

/** @returns undefined where the Secret is gone already */
async function removeSecret(
  namespace: string,
  dependencies: UninstallDependencies,
): Promise<Removal | undefined> {
  const removal = { kind: 'Secret', namespace, name: dependencies.secretName } as const;
  try {
    const outcome = await retry(() => tryToRemove(namespace, dependencies), getConflictDelayMs);
    return outcome && { ...removal, outcome };
  } catch (error) {
    const outcome = error instanceof UnmanagedSecretError ? 'skipped' : 'failed';
    return { ...removal, outcome, failure: failureOf(`Secret ${dependencies.secretName}`, error) };
  }
}

function getConflictDelayMs(error: unknown, attempts: number): number | undefined {
  const isConflict = error instanceof KubeError && error.code === 'conflict';
  return isConflict && attempts < maxAttempts ? 0 : undefined;
}

/**
 * Reads the Secret first, because metadata does not show the type, and deletes only what it has read. After an interrupt, it
 * does not start either.
 */
async function tryToRemove(
  namespace: string,
  { config, secretName, dryRun, interrupt }: UninstallDependencies,
): Promise<Removal['outcome'] | undefined> {
  if (interrupt.signal.aborted) {
    return 'interrupted';
  }
  const secret = await createSecretApi(config).read(namespace, secretName);
  if (secret === undefined) {
    return undefined;
  }
  if (!isManagedSecret(secret)) {
    throw new UnmanagedSecretError(namespace, secretName);
  }
  if (dryRun) {
    return 'would-remove';
  }
  if (interrupt.signal.aborted) {
    return 'interrupted';
  }
  await deleteSecret(config, secret);
  return 'removed';
}
