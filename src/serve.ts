import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import packageJson from '../package.json' with { type: 'json' };
import { reviewAnswerer } from './admission/mutate.ts';
import { statusPages } from './admission/status.ts';
import { tlsMinimum, webhook } from './admission/webhook.ts';
import { CertificateFiles } from './certificates/files.ts';
import { pairState } from './certificates/pair.ts';
import { type Core, compose } from './compose.ts';
import type { Config } from './config/schema.ts';
import { eventApi } from './kube/events.ts';
import { watchSecretMetadata } from './kube/watch.ts';
import { Provisioning } from './provisioning/provisioning.ts';
import { settingsOf } from './provisioning/settings.ts';
import { told } from './provisioning/told.ts';
import { news } from './renewal/news.ts';
import { Renewal } from './renewal/renewal.ts';
import { jsonLog, type Log } from './telemetry/log.ts';
import { type Metrics, prometheusMetrics } from './telemetry/metrics.ts';

/** How often renewal looks at the clock, ms: a machine that was suspended or a clock that was set is noticed then. */
const tickMs = 1_000;

/** Where all parts meet: makes them, starts them, and ends them on a signal. */
export async function serve(config: Config, environment: NodeJS.ProcessEnv): Promise<void> {
  const log = jsonLog(config.log.level);
  const metrics = prometheusMetrics();
  let draining = false;

  const core = compose({ config, environment, log, metrics, inSync: () => watch.inSync(), now: Date.now });
  const { cluster, view, secrets } = core;
  const watch = watchSecretMetadata({
    config: cluster,
    name: config.secretName,
    sink: told(view, (namespace) => provisioned.wake(namespace)),
    onError: (error) => {
      metrics.watchFailure(error.code);
      log.warn({ err: error }, 'the watch of the pull Secrets broke; it is taken up again');
    },
  });
  const renewing = renewalOf(config, core, log, metrics);
  const provisioned = provisioningOf(config, core, () => watch.start(), log, metrics);
  metrics.observe({
    inSync: () => watch.inSync(),
    earliestEnds: () => view.earliestEnds(),
    due: () => renewing.state().due,
    failingHosts: () => renewing.state().overdue.map(({ trouble }) => trouble),
  });

  const certificates = await CertificateFiles.open({
    certFile: config.webhook.certFile,
    keyFile: config.webhook.keyFile,
    onChange: ({ certPem, keyPem, fingerprint, notAfter }) => {
      app.server.setSecureContext({ cert: certPem, key: keyPem, minVersion: tlsMinimum });
      log.info({ fingerprint, notAfter: new Date(notAfter).toISOString() }, 'serving with a new certificate');
    },
    onProblem: (error) => log.error({ err: error }, 'the new certificate cannot be used; the old one stays'),
  });
  const app = webhook({
    pair: certificates.current,
    answer: reviewAnswerer({
      rules: config,
      onFailure: config.onFailure,
      deadlineMarginMs: config.webhook.deadlineMargin,
      pullSecrets: secrets,
      log,
      metrics,
    }),
    draining: () => draining,
    log,
  });
  const status = statusPages({
    notReady: () => [
      ...(watch.inSync() ? [] : ['not in sync with the API server']),
      ...(pairState(certificates.current, Date.now()) === 'valid'
        ? []
        : ['the certificate is not valid now']),
      ...(draining ? ['draining'] : []),
    ],
    metrics: metrics.exposition,
  });
  const webhookAddress = await app.listen({ host: config.webhook.address ?? '', port: config.webhook.port });
  const statusAddress = await status.listen({ host: config.status.address ?? '', port: config.status.port });
  log.info({ version: packageJson.version, webhook: webhookAddress, status: statusAddress }, 'listening');
  void watch.start().then(() => {
    if (watch.inSync()) {
      log.info('in sync with the API server');
      renewing.start();
    }
  });
  void provisioned.start();

  endGracefully(config, log, async () => {
    draining = true;
    await sleep(config.webhook.shutdownDelay);
    await app.close();
    certificates.close();
    await provisioned.stop();
    await renewing.stop();
    await watch.stop();
    await core.close();
    await status.close();
  });
}

function renewalOf(config: Config, core: Core, log: Log, metrics: Metrics): Renewal {
  const { events, concurrency, writesPerSecond } = config.renewal;
  const eventsOf = eventApi(core.cluster, 'ecr-pull-secrets');
  return new Renewal({
    view: core.view,
    secrets: core.secrets,
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

function provisioningOf(
  config: Config,
  { cluster, view, secrets }: Core,
  ready: () => Promise<void>,
  log: Log,
  metrics: Metrics,
): Provisioning {
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
    now: () => performance.now(),
    random: Math.random,
    log,
  });
}

/** Ends the process on a signal, or on an error that nobody caught; at once on a second signal. */
function endGracefully({ webhook }: Config, log: Log, close: () => Promise<void>): void {
  const delay = webhook.shutdownDelay + webhook.drainTimeout;
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
