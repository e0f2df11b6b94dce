import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import packageJson from '../package.json' with { type: 'json' };
import { type Core, compose } from './app.ts';
import { type ClientCa, type ClientCaOptions, openClientCa } from './certificates/certificate-files.ts';
import { type CertificateSource, openCertificates } from './certificates/certificate-source.ts';
import { pairState } from './certificates/key-pair.ts';
import type { Config } from './config/schema.ts';
import { rememberedHosts } from './ecr/registry-cache.ts';
import { eventApi } from './kube/events.ts';
import type { ObjectError } from './kube/object-error.ts';
import { watchSecretMetadata } from './kube/secret-metadata.ts';
import { told } from './provisioning/cluster-cache.ts';
import { Provisioning } from './provisioning/provisioning-controller.ts';
import { settingsOf, unusedSettings } from './provisioning/provisioning-settings.ts';
import { fullSecretReport, news } from './renewal/host-events.ts';
import { Housekeeping } from './renewal/housekeeping.ts';
import { Renewal } from './renewal/renewal-controller.ts';
import { type Log, standardLog } from './telemetry/log.ts';
import { type Metrics, prometheusMetrics } from './telemetry/metrics.ts';
import { excludedFromAdmission } from './webhook/decision.ts';
import { reviewAnswerer } from './webhook/handler.ts';
import { pullSecretReference } from './webhook/patch.ts';
import { renewIdentity, type Webhook, webhook } from './webhook/server.ts';
import { statusPages } from './webhook/status-server.ts';
import type { TlsIdentity } from './webhook/tls-options.ts';

/** How often renewal looks at the clock, ms: a machine that was suspended or a clock that was set is noticed then. */
const tickMs = 1_000;

/** How often housekeeping looks for hosts to add or to remove, ms. */
const housekeepingTickMs = 5_000;

/** Where all parts meet: makes them, starts them, and ends them on a signal. */
export async function serve(config: Config, environment: NodeJS.ProcessEnv): Promise<void> {
  const { log, output } = standardLog(config.log.level);
  const metrics = prometheusMetrics();
  let draining = false;
  let certificates: CertificateSource | undefined;

  const core = compose({
    config,
    environment,
    configured: settingsOf(config).registries,
    log,
    metrics,
    inSync: () => watch.inSync(),
    now: Date.now,
  });
  const { cluster, view, secrets } = core;
  const watch = watchSecretMetadata({
    config: cluster,
    name: config.secretName,
    sink: told(view, (namespace) => provisioned.wake(namespace)),
    onError: (error) => {
      metrics.watchFailure(error.code);
      log.warn({ err: error }, 'the watch of the pull Secrets broke; it is taken up again');
    },
    onObjectError: (error) => onObjectError(error, log, metrics),
  });
  const renewing = renewalOf(config, core, log, metrics);
  const housekeeping = housekeepingOf(config, core, log);
  const provisioned = provisioningOf(config, core, () => watch.start(), log, metrics);
  metrics.observe({
    inSync: () => watch.inSync(),
    apiCalls: () => cluster.calls,
    tokenExpiries: (labelOf) => view.tokenExpiries(Date.now(), labelOf),
    due: () => renewing.state().due,
    certificateExpiresAt: () => certificates?.current.notAfter,
    failingHosts: () => renewing.state().overdue.map(({ trouble }) => trouble),
    droppedLogLines: () => output.dropped(),
    fullSecrets: () => core.housekeeping.missing.full,
  });

  let clientCa: ClientCa | undefined;
  let identity: TlsIdentity | undefined;
  let app: Webhook | undefined;
  const renew = (change: Partial<TlsIdentity>) => {
    if (app !== undefined && identity !== undefined) {
      identity = { ...identity, ...change };
      renewIdentity(app, identity);
    }
  };
  const status = statusPages({
    notReady: () => [
      ...(watch.inSync() ? [] : ['not in sync with the API server']),
      ...certificateProblems(certificates),
      ...(draining ? ['draining'] : []),
    ],
    metrics: metrics.exposition,
  });
  endGracefully(config, log, async () => {
    draining = true;
    if (app !== undefined) {
      await sleep(config.webhook.shutdownDelay);
      await app.close();
    }
    clientCa?.close();
    // None starts anything new while another one waits for its writes.
    await Promise.all([certificates?.close(), provisioned.stop(), housekeeping.stop(), renewing.stop()]);
    await watch.stop();
    // What was promised to reviews that have been answered is still being written, or will be retried in a moment.
    await secrets.settled();
    await cluster.idle();
    await core.close();
    await status.close();
  });

  // probes are answered while a certificate is waited for
  const statusAddress = await status.listen({ host: config.status.address ?? '', port: config.status.port });
  void watch.start().then(() => {
    if (watch.inSync()) {
      log.info('in sync with the API server');
      renewing.start();
      housekeeping.start();
    }
  });
  void provisioned.start();
  certificates = await openCertificates({
    config,
    cluster,
    onChange: ({ certPem, keyPem, fingerprint, notAfter }) => {
      renew({ certPem, keyPem });
      log.info({ fingerprint, notAfter: new Date(notAfter).toISOString() }, 'serving with a new certificate');
    },
    log,
  });
  const { clientAuth } = config.webhook;
  clientCa = clientAuth && (await openClientCa(clientCaOptions(clientAuth.caFile, renew, log)));
  identity = { ...certificates.current, clientCaPem: clientCa?.current };
  app = webhook({
    identity,
    allowedNames: clientAuth?.allowedNames ?? [],
    maxConnections: config.webhook.maxConnections,
    refused: (reason) => metrics.review('refused', reason),
    answer: reviewAnswerer({
      rules: {
        reference: pullSecretReference(config.secretName),
        registryOf: rememberedHosts(),
        exclude: excludedFromAdmission(config),
      },
      onFailure: config.onFailure,
      deadlineMarginMs: config.webhook.deadlineMargin,
      pullSecrets: secrets,
      log,
      metrics,
    }),
    draining: () => draining,
    log,
  });
  const webhookAddress = await app.listen({ host: config.webhook.address ?? '', port: config.webhook.port });
  log.info({ version: packageJson.version, webhook: webhookAddress, status: statusAddress }, 'listening');
}

function clientCaOptions(
  caFile: string,
  renew: (change: Partial<TlsIdentity>) => void,
  log: Log,
): ClientCaOptions {
  return {
    caFile,
    onChange: (clientCaPem) => {
      renew({ clientCaPem });
      log.info({ caFile }, 'reloaded the client CA');
    },
    onProblem: (error) =>
      log.error({ err: error }, 'failed to reload the client CA; keeping the previous one'),
  };
}

function certificateProblems(certificates: CertificateSource | undefined): string[] {
  if (certificates === undefined) {
    return ['no certificate yet'];
  }
  const state = pairState(certificates.current, Date.now());
  return state === 'valid' ? [] : ['the certificate is not valid now'];
}

function renewalOf(config: Config, core: Core, log: Log, metrics: Metrics): Renewal {
  const { events, concurrency, writesPerSecond } = config.renewal;
  const eventsOf = eventApi(core.cluster, 'ecr-pull-secrets');
  return new Renewal({
    view: core.view,
    secrets: core.secrets,
    unstored: core.housekeeping.unstored,
    rules: core.planRules(Date.now()),
    now: () => ({ wall: Date.now(), steady: performance.now() }),
    random: Math.random,
    concurrency,
    writesPerSecond,
    tickMs,
    log,
    counted: metrics.renewal,
    told: news({
      secretName: config.secretName,
      view: core.view,
      createEvent: events ? (event) => eventsOf.create(event) : undefined,
      now: Date.now,
      log,
    }),
  });
}

function housekeepingOf(config: Config, core: Core, log: Log): Housekeeping {
  const eventsOf = eventApi(core.cluster, 'ecr-pull-secrets');
  return new Housekeeping({
    ...core.housekeeping,
    view: core.view,
    secrets: core.secrets,
    forgetAfterMs: config.secrets.forgetAfter,
    now: () => ({ wall: Date.now(), steady: performance.now() }),
    random: Math.random,
    tickMs: housekeepingTickMs,
    log,
    onFull: fullSecretReport({
      secretName: config.secretName,
      view: core.view,
      createEvent: config.renewal.events ? (event) => eventsOf.create(event) : undefined,
      now: Date.now,
      log,
    }),
  });
}

function provisioningOf(
  config: Config,
  { cluster, view, secrets }: Core,
  ready: () => Promise<void>,
  log: Log,
  metrics: Metrics,
): Provisioning {
  const unused = unusedSettings(config);
  if (unused.length > 0) {
    log.warn({ settings: unused }, 'provisioning is off because provisioning.registries is empty');
  }
  return new Provisioning({
    config: cluster,
    settings: settingsOf(config),
    view,
    secrets,
    ready,
    onWatchError: (error) => {
      metrics.watchFailure(error.code);
      log.warn({ err: error }, 'a watch of namespaces or ServiceAccounts broke; it is taken up again');
    },
    onObjectError: (error) => onObjectError(error, log, metrics),
    now: () => performance.now(),
    random: Math.random,
    log,
  });
}

function onObjectError(error: ObjectError, log: Log, metrics: Metrics): void {
  const { resource, namespace, objectName: name } = error;
  metrics.unreadableObject(resource);
  log.warn({ resource, namespace, name, err: error }, 'skipped an object that cannot be parsed');
}

/** Ends the process on a signal, or on an error that nobody caught; at once on a second signal. */
function endGracefully(config: Config, log: Log, close: () => Promise<void>): void {
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
