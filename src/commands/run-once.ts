// Runs the commands that exit when their work is done: sync, uninstall and remove-host.
import { type App, createApp } from '../app.ts';
import type { Config } from '../config/schema.ts';
import type { Registry } from '../ecr/registry.ts';
import { createJsonLog, type Log } from '../telemetry/log.ts';
import type { CommandContext } from './command.ts';
import { type CallsInFlight, type Interrupt, interruptible } from './interrupt.ts';
import { printInterrupted } from './print-report.ts';

/** What the work of a command gets. */
export interface WorkContext {
  readonly app: App;
  readonly log: Log;
  readonly interrupt: Interrupt;
  /** What an interrupted command awaits. */
  readonly calls: CallsInFlight;
}

/** How long sync waits for ECR, in ms. It is the limit of one call, because sync stores nothing later. */
const ecrTimeoutMs = 120_000;

/**
 * Builds the components, runs a command, and closes the connections.
 * @param configuredRegistries those that the operator named; undefined: the command calls no AWS, so its settings do not matter
 * @param work prints the report, and returns the exit code
 * @returns the exit code; the one of the signal if the command was interrupted
 * @throws {KubeConfigError}, and the errors of `work`
 */
export async function runOnce(
  config: Config,
  context: CommandContext,
  configuredRegistries: readonly Registry[] | undefined,
  work: (context: WorkContext) => Promise<number>,
): Promise<number> {
  const log = createCommandLog(config, context);
  const environment = configuredRegistries === undefined ? {} : context.environment;
  const app = createOneShotApp(config, environment, configuredRegistries ?? [], log);
  if (configuredRegistries !== undefined && log.isLevelEnabled('error')) {
    app.callerIdentity.start();
  }
  const calls = {
    idle: () => app.cluster.waitUntilIdle(),
    timeoutMs: config.kubernetes.writeTimeout,
    close: () => app.cluster.close(),
  };
  try {
    return await interruptible(
      context.signals,
      async (interrupt) => {
        const code = await work({ app, log, interrupt, calls });
        return interrupt.exitCode ?? code;
      },
      () => printInterrupted(context.stderr),
    );
  } finally {
    await app.close();
  }
}

/** The cache has no watch. It holds only what the command reads and writes, so it is never out of date. */
function createOneShotApp(
  config: Config,
  environment: NodeJS.ProcessEnv,
  configuredRegistries: readonly Registry[],
  log: Log,
): App {
  const uncounted = {
    countEcrCall: () => undefined,
    countSecretWrite: () => undefined,
    countDroppedHosts: () => undefined,
    countForgottenHosts: () => undefined,
  };
  return createApp({
    config,
    environment,
    configuredRegistries,
    log,
    metrics: uncounted,
    isInSync: () => true,
    maxWaitMs: ecrTimeoutMs,
    isPersistent: true,
    now: Date.now,
    monotonicNow: () => performance.now(),
  });
}

/** Creates the log on standard error; silent on a terminal, where the report is enough. */
function createCommandLog(config: Config, { stderr }: CommandContext): Log {
  return createJsonLog(stderr.isTTY === true ? 'silent' : config.log.level, {
    write: (line) => void stderr.write(line),
  });
}
