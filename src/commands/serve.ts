// The command `serve`: runs the admission webhook, renewal and provisioning until a signal arrives.
import { setFlagsFromString } from 'node:v8';
import packageJson from '../../package.json' with { type: 'json' };
import { createApp } from '../app.ts';
import { createControllers } from '../app-controllers.ts';
import { AppWebhook } from '../app-webhook.ts';
import type { Config } from '../config/schema.ts';
import { causeUnboundedIdentities } from '../ecr/identity-rules.ts';
import { resolveSettings } from '../provisioning/provisioning-settings.ts';
import { createStandardLog } from '../telemetry/log.ts';
import { createPrometheusMetrics } from '../telemetry/metrics.ts';
import { listenOn } from '../webhook/listen.ts';
import { createStatusServer } from '../webhook/status-server.ts';
import { defineCommand } from './command.ts';
import { addConfigOption, type ConfigOption, configOption, loadConfig } from './config-option.ts';
import { shutDownOnSignal } from './shutdown.ts';

interface ServeOptions extends ConfigOption {
  /** Undefined: that of the configuration. */
  readonly webhookAddress: string | undefined;
}

export const serveCommand = defineCommand<ServeOptions>({
  name: 'serve',
  summary: 'Run the admission webhook (HTTPS) and the status server (HTTP)',
  examples: ['serve --config config.yaml'],
  isService: true,
  declare: (command) =>
    addConfigOption(command).option(
      '--webhook-address <address>',
      'address on which the webhook listens, instead of `webhook.address` of the configuration',
    ),
  read: (command) => {
    const { webhookAddress }: { webhookAddress?: string } = command.opts();
    return { ...configOption(command), webhookAddress };
  },
  run: async (options, { environment }) => {
    const config = await loadConfig(options);
    const { webhookAddress: address = config.webhook.address } = options;
    await serve({ ...config, webhook: { ...config.webhook, address } }, environment);
    return undefined;
  },
});

/** Builds and starts everything, and shuts down on a signal. */
async function serve(config: Config, environment: NodeJS.ProcessEnv): Promise<void> {
  if (causeUnboundedIdentities(config.registries)) {
    // Each renewal needs a client of AWS for itself. With 10,000 namespaces, this takes 25 MB less memory, and half more CPU time
    // for a renewal (docs/performance.md).
    setFlagsFromString('--memory-saver-mode');
  }
  const { log, output } = createStandardLog(config.log.level);
  const metrics = createPrometheusMetrics();
  const app = createApp({
    config,
    environment,
    configuredRegistries: resolveSettings(config).registries,
    log,
    metrics,
    isInSync: () => controllers.isInSync(),
    onDenied: (namespace, hosts) => controllers.reportDenied(namespace, hosts),
    now: Date.now,
    monotonicNow: () => performance.now(),
  });
  const controllers = createControllers({
    ...{ config, app, log, metrics },
    isWebhookReady: () => webhook.notReadyReasons().length === 0,
  });
  const webhook = new AppWebhook({
    ...{ config, app, log, metrics },
    onMissingToken: () => controllers.catchUp?.requestRound('admitted-pod'),
  });
  const status = createStatusServer({
    getNotReadyReasons: () => [
      ...(controllers.isInSync() ? [] : ['not in sync with the API server']),
      ...webhook.notReadyReasons(),
    ],
    metrics: metrics.render,
  });
  metrics.setState({
    isInSync: () => controllers.isInSync(),
    apiCalls: () => app.cluster.calls,
    tokenExpiries: (labelOf) => app.secretCache.tokenExpiries(Date.now(), labelOf),
    due: () => controllers.renewal.state().due,
    renewalLatenessMs: () => controllers.renewal.state().latenessMs,
    areCredentialsValid: () => app.callerIdentity.areCredentialsValid,
    unmanagedSecrets: () => controllers.renewal.state().unmanagedSecrets,
    certificateExpiresAt: () => webhook.certificateExpiresAt(),
    failingHosts: () => controllers.renewal.state().overdue.map(({ failure }) => failure),
    droppedLogLines: () => output.droppedLines(),
    fullSecrets: () => app.housekeeping.missing.fullSecretCount,
    uninjectedPods: () => controllers.catchUp?.uninjectedPods ?? 0,
  });
  const { shutdownDelay, drainTimeout } = config.webhook;
  const maxShutdownMs = shutdownDelay + drainTimeout + config.kubernetes.writeTimeout;
  shutDownOnSignal(maxShutdownMs, log, async () => {
    await webhook.drain();
    // These stop together, so that none starts anything new while another one waits for its writes.
    await Promise.all([webhook.closeCertificates(), controllers.stop()]);
    await controllers.stopWatch();
    // Hosts of pods that were admitted may still be written, or be retried in a moment.
    await app.secrets.waitUntilIdle();
    await app.cluster.waitUntilIdle();
    await app.close();
    await status.close();
  });

  // The status server starts first, so that probes get responses while the webhook waits for a certificate.
  const statusAddress = await listenOn(status, 'status', config.status);
  app.callerIdentity.start();
  controllers.start();
  const webhookAddress = await webhook.open();
  log.info({ version: packageJson.version, webhook: webhookAddress, status: statusAddress }, 'listening');
}
