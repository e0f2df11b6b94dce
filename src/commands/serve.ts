// The command `serve`: runs the admission webhook, renewal and provisioning until a signal arrives.
import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import packageJson from '../../package.json' with { type: 'json' };
import { type App, createApp } from '../app.ts';
import { type ClientCa, type ClientCaOptions, watchClientCa } from '../certificates/certificate-files.ts';
import { type CertificateSource, openCertificateSource } from '../certificates/certificate-source.ts';
import { getValidityState } from '../certificates/key-pair.ts';
import type { Config } from '../config/schema.ts';
import { createCachedRegistryResolver } from '../ecr/registry-cache.ts';
import { createEventApi } from '../kube/events.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { watchSecretMetadata } from '../kube/secret-metadata.ts';
import { notifyOnChange } from '../provisioning/cluster-cache.ts';
import { ProvisioningController } from '../provisioning/provisioning-controller.ts';
import { findUnusedSettings, resolveSettings } from '../provisioning/provisioning-settings.ts';
import { createFullSecretReporter, createHostEventReporter } from '../renewal/host-events.ts';
import { Housekeeping } from '../renewal/housekeeping.ts';
import { RenewalController } from '../renewal/renewal-controller.ts';
import { createStandardLog, type Log } from '../telemetry/log.ts';
import { createPrometheusMetrics, type Metrics } from '../telemetry/metrics.ts';
import { getAdmissionExclusions } from '../webhook/decision.ts';
import { createAdmissionHandler } from '../webhook/handler.ts';
import { createPullSecretReference } from '../webhook/patch.ts';
import { createWebhook, updateTlsIdentity, type Webhook } from '../webhook/server.ts';
import { createStatusServer } from '../webhook/status-server.ts';
import type { TlsIdentity } from '../webhook/tls-options.ts';
import { defineCommand } from './command.ts';
import { addConfigOption, type ConfigOption, configOption, loadConfig } from './config-option.ts';

export const serveCommand = defineCommand<ConfigOption>({
  name: 'serve',
  summary: 'Run the admission webhook (HTTPS) and the status server (HTTP)',
  examples: ['serve --config config.yaml'],
  declare: addConfigOption,
  read: configOption,
  run: async (options, { environment }) => {
    await serve(await loadConfig(options), environment);
    return undefined;
  },
});

/** How often renewal looks at the clock, ms: a machine that was suspended or a clock that was set is noticed then. */
const renewalTickMs = 1_000;

/** How often housekeeping looks for hosts to add or to remove, ms. */
const housekeepingTickMs = 5_000;

/** Where all parts meet: makes them, starts them, and ends them on a signal. */
async function serve(config: Config, environment: NodeJS.ProcessEnv): Promise<void> {
  const { log, output } = createStandardLog(config.log.level);
  const metrics = createPrometheusMetrics();
  let draining = false;
  let certificates: CertificateSource | undefined;

  const app = createApp({
    config,
    environment,
    configuredRegistries: resolveSettings(config).registries,
    log,
    metrics,
    isInSync: () => watch.isInSync(),
    now: Date.now,
  });
  const { cluster, secretCache, secrets } = app;
  const watch = watchSecretMetadata({
    config: cluster,
    name: config.secretName,
    handler: notifyOnChange(secretCache, (namespace) => provisioning.enqueue(namespace)),
    onError: (error) => {
      metrics.countWatchFailure(error.code);
      log.warn({ err: error }, 'the watch of the pull Secrets broke; it is taken up again');
    },
    onObjectError: (error) => reportObjectError(error, log, metrics),
  });
  const renewal = createRenewal(config, app, log, metrics);
  const housekeeping = createHousekeeping(config, app, log);
  const provisioning = createProvisioning(config, app, () => watch.start(), log, metrics);
  metrics.setState({
    isInSync: () => watch.isInSync(),
    apiCalls: () => cluster.calls,
    tokenExpiries: (labelOf) => secretCache.tokenExpiries(Date.now(), labelOf),
    due: () => renewal.state().due,
    certificateExpiresAt: () => certificates?.current.notAfter,
    failingHosts: () => renewal.state().overdue.map(({ failure }) => failure),
    droppedLogLines: () => output.droppedLines(),
    fullSecrets: () => app.housekeeping.missing.fullSecretCount,
  });

  let clientCa: ClientCa | undefined;
  let identity: TlsIdentity | undefined;
  let webhookServer: Webhook | undefined;
  const updateIdentity = (change: Partial<TlsIdentity>) => {
    if (webhookServer !== undefined && identity !== undefined) {
      identity = { ...identity, ...change };
      updateTlsIdentity(webhookServer, identity);
    }
  };
  const status = createStatusServer({
    getNotReadyReasons: () => [
      ...(watch.isInSync() ? [] : ['not in sync with the API server']),
      ...listCertificateProblems(certificates),
      ...(draining ? ['draining'] : []),
    ],
    metrics: metrics.render,
  });
  shutDownOnSignal(config, log, async () => {
    draining = true;
    if (webhookServer !== undefined) {
      await sleep(config.webhook.shutdownDelay);
      await webhookServer.close();
    }
    clientCa?.close();
    // None starts anything new while another one waits for its writes.
    await Promise.all([certificates?.close(), provisioning.stop(), housekeeping.stop(), renewal.stop()]);
    await watch.stop();
    // What was promised to reviews that have been answered is still being written, or will be retried in a moment.
    await secrets.waitUntilIdle();
    await cluster.waitUntilIdle();
    await app.close();
    await status.close();
  });

  // probes are answered while a certificate is waited for
  const statusAddress = await status.listen({ host: config.status.address ?? '', port: config.status.port });
  void watch.start().then(() => {
    if (watch.isInSync()) {
      log.info('in sync with the API server');
      renewal.start();
      housekeeping.start();
    }
  });
  void provisioning.start();
  certificates = await openCertificateSource({
    config,
    cluster,
    onChange: ({ certPem, keyPem, fingerprint, notAfter }) => {
      updateIdentity({ certPem, keyPem });
      log.info({ fingerprint, notAfter: new Date(notAfter).toISOString() }, 'serving with a new certificate');
    },
    log,
  });
  const { clientAuth } = config.webhook;
  clientCa =
    clientAuth && (await watchClientCa(createClientCaOptions(clientAuth.caFile, updateIdentity, log)));
  identity = { ...certificates.current, clientCaPem: clientCa?.current };
  webhookServer = createWebhook({
    identity,
    allowedNames: clientAuth?.allowedNames ?? [],
    maxConnections: config.webhook.maxConnections,
    onRefused: (reason) => metrics.review('refused', reason),
    handleReview: createAdmissionHandler({
      rules: {
        reference: createPullSecretReference(config.secretName),
        resolveRegistry: createCachedRegistryResolver(app.resolveRegistry),
        exclude: getAdmissionExclusions(config),
      },
      onFailure: config.onFailure,
      deadlineMarginMs: config.webhook.deadlineMargin,
      pullSecrets: secrets,
      log,
      metrics,
    }),
    isDraining: () => draining,
    log,
  });
  const webhookAddress = await webhookServer.listen({
    host: config.webhook.address ?? '',
    port: config.webhook.port,
  });
  log.info({ version: packageJson.version, webhook: webhookAddress, status: statusAddress }, 'listening');
}

function createClientCaOptions(
  caFile: string,
  updateIdentity: (change: Partial<TlsIdentity>) => void,
  log: Log,
): ClientCaOptions {
  return {
    caFile,
    onChange: (clientCaPem) => {
      updateIdentity({ clientCaPem });
      log.info({ caFile }, 'reloaded the client CA');
    },
    onProblem: (error) =>
      log.error({ err: error }, 'failed to reload the client CA; keeping the previous one'),
  };
}

function listCertificateProblems(certificates: CertificateSource | undefined): string[] {
  if (certificates === undefined) {
    return ['no certificate yet'];
  }
  const state = getValidityState(certificates.current, Date.now());
  return state === 'valid' ? [] : ['the certificate is not valid now'];
}

function createRenewal(config: Config, app: App, log: Log, metrics: Metrics): RenewalController {
  const { events, concurrency, writesPerSecond } = config.renewal;
  const eventClient = createEventApi(app.cluster, 'ecr-pull-secrets');
  return new RenewalController({
    secretCache: app.secretCache,
    secrets: app.secrets,
    resolveRegistry: app.resolveRegistry,
    unstored: app.housekeeping.unstored,
    rules: app.planRules(Date.now()),
    now: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }),
    random: Math.random,
    concurrency,
    writesPerSecond,
    tickMs: renewalTickMs,
    log,
    countRenewal: metrics.countRenewal,
    onFailureReport: createHostEventReporter({
      secretName: config.secretName,
      secretCache: app.secretCache,
      createEvent: events ? (event) => eventClient.create(event) : undefined,
      now: Date.now,
      log,
    }),
  });
}

function createHousekeeping(config: Config, app: App, log: Log): Housekeeping {
  const eventClient = createEventApi(app.cluster, 'ecr-pull-secrets');
  return new Housekeeping({
    ...app.housekeeping,
    secretCache: app.secretCache,
    secrets: app.secrets,
    resolveRegistry: app.resolveRegistry,
    forgetAfterMs: config.secrets.forgetAfter,
    now: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }),
    random: Math.random,
    tickMs: housekeepingTickMs,
    log,
    onSecretFull: createFullSecretReporter({
      secretName: config.secretName,
      secretCache: app.secretCache,
      createEvent: config.renewal.events ? (event) => eventClient.create(event) : undefined,
      now: Date.now,
      log,
    }),
  });
}

function createProvisioning(
  config: Config,
  { cluster, secretCache, secrets }: App,
  whenSynced: () => Promise<void>,
  log: Log,
  metrics: Metrics,
): ProvisioningController {
  const unused = findUnusedSettings(config);
  if (unused.length > 0) {
    log.warn({ settings: unused }, 'provisioning is off because provisioning.registries is empty');
  }
  return new ProvisioningController({
    config: cluster,
    settings: resolveSettings(config),
    secretCache,
    secrets,
    whenSynced,
    onWatchError: (error) => {
      metrics.countWatchFailure(error.code);
      log.warn({ err: error }, 'a watch of namespaces or ServiceAccounts broke; it is taken up again');
    },
    onObjectError: (error) => reportObjectError(error, log, metrics),
    monotonicNow: () => performance.now(),
    random: Math.random,
    log,
  });
}

function reportObjectError(error: ObjectError, log: Log, metrics: Metrics): void {
  const { resource, namespace, objectName: name } = error;
  metrics.countUnreadableObject(resource);
  log.warn({ resource, namespace, name, err: error }, 'skipped an object that cannot be parsed');
}

/** Ends the process on a signal, or on an error that nobody caught; at once on a second signal. */
function shutDownOnSignal(config: Config, log: Log, close: () => Promise<void>): void {
  const { webhook, kubernetes } = config;
  const delay = webhook.shutdownDelay + webhook.drainTimeout + kubernetes.writeTimeout;
  closeWithGrace(
    { delay, logger: false, onTimeout: () => log.error({ delay }, 'ended with calls in flight') },
    async ({ err, signal }) => {
      if (err !== undefined) {
        log.fatal({ err }, 'ending because of a bug');
      } else {
        log.info({ signal }, 'draining');
      }
      await close();
      log.info('ended');
    },
  );
}
