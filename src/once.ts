import { createApp } from './app.ts';
import type { RemoveHostCommand, SyncCommand, UninstallCommand } from './cli.ts';
import type { Config } from './config/schema.ts';
import type { Registry } from './ecr/registry.ts';
import { listPods } from './kube/pods.ts';
import { resolveSyncSettings } from './provisioning/provisioning-settings.ts';
import { removeHosts } from './provisioning/remove-hosts.ts';
import { sync } from './provisioning/sync.ts';
import { type Output, progressOn, tellRemoveHosts, tellSync, tellUninstall } from './provisioning/telling.ts';
import { uninstall } from './provisioning/uninstall.ts';
import { createJsonLog } from './telemetry/log.ts';

/** A command that does its work once, and what it works with. */
export interface Once<T> {
  readonly command: T;
  readonly config: Config;
  /** What the configuration was read from. */
  readonly source: string;
  readonly environment: NodeJS.ProcessEnv;
  /** For the result. */
  readonly stdout: Output;
  /** For the log and for progress. */
  readonly stderr: Output;
}

/** A sync waits for ECR as long as a call may take, in ms: it stores nothing later. */
const syncPatienceMs = 120_000;

/**
 * @returns the exit code
 * @throws ConfigError, KubeConfigError, or KubeError where it cannot begin
 */
export async function syncOnce({ command, source, ...once }: Once<SyncCommand>): Promise<number> {
  const settings = resolveSyncSettings(once.config, command, source);
  const core = coreOf(once, settings.registries);
  try {
    const progress = progressOn(once.stderr);
    const result = await sync({
      config: core.cluster,
      settings,
      secrets: core.secrets,
      secretCache: core.secretCache,
      progress,
      signal: new AbortController().signal,
    });
    return tellSync(result, command.output, once.stdout);
  } finally {
    await core.close();
  }
}

/** As syncOnce. */
export async function uninstallOnce({ command, ...once }: Once<UninstallCommand>): Promise<number> {
  const core = coreOf({ ...once, environment: {} }, []); // calls no AWS, so AWS settings do not matter
  try {
    const { secretName } = once.config;
    const { dryRun, output } = command;
    const signal = new AbortController().signal;
    const result = await uninstall({ config: core.cluster, secretName, dryRun, signal });
    return tellUninstall(result, output, once.stdout);
  } finally {
    await core.close();
  }
}

/** As syncOnce; also rejects with ForeignSecretError. */
export async function removeHostsOnce({ command, ...once }: Once<RemoveHostCommand>): Promise<number> {
  const core = coreOf({ ...once, environment: {} }, []); // as above
  try {
    const { secretName, provisioning } = once.config;
    const { namespace, hosts, dryRun, output } = command;
    const result = await removeHosts({
      config: core.cluster,
      ...{ secretName, namespace, hosts, dryRun },
      configured: provisioning.registries,
      listPods: (of, onPod) => listPods(core.cluster, of, onPod),
      log: logOf(once),
    });
    return tellRemoveHosts(result, output, once.stdout);
  } finally {
    await core.close();
  }
}

/** Nothing feeds the view but what is read and written, so it is never behind. A person wants the result, not the log. */
function coreOf(
  { config, environment, stderr }: Omit<Once<unknown>, 'command' | 'source'>,
  configured: readonly Registry[],
) {
  const uncounted = {
    countEcrCall: () => undefined,
    countSecretWrite: () => undefined,
    countDroppedHosts: () => undefined,
    countForgottenHosts: () => undefined,
  };
  return createApp({
    config,
    environment,
    configuredRegistries: configured,
    log: logOf({ config, stderr }),
    metrics: uncounted,
    isInSync: () => true,
    maxWaitMs: syncPatienceMs,
    isPersistent: true,
    now: Date.now,
  });
}

function logOf({ config, stderr }: Pick<Once<unknown>, 'config' | 'stderr'>) {
  return createJsonLog(stderr.isTTY === true ? 'silent' : config.log.level, {
    write: (line) => void stderr.write(line),
  });
}
