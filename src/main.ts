#!/usr/bin/env node
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import packageJson from '../package.json' with { type: 'json' };
import { reviewAnswerer } from './admission/mutate.ts';
import { statusPages } from './admission/status.ts';
import { tlsMinimum, webhook } from './admission/webhook.ts';
import { CertificateFiles } from './certificates/files.ts';
import { pairState } from './certificates/pair.ts';
import { readCommand, usage } from './cli.ts';
import { ConfigError, readConfig } from './config/read.ts';
import type { Config } from './config/schema.ts';
import { type ClusterConfig, loadKubeConfig } from './kube/config.ts';
import { secretApi } from './kube/secrets.ts';
import { watchSecretMetadata } from './kube/watch.ts';
import { type PullSecrets, pullSecrets } from './secrets/ensure.ts';
import { secretStore } from './secrets/store.ts';
import { SecretView } from './secrets/view.ts';
import { jsonLog, type Log, serializeError } from './telemetry/log.ts';
import { type Metrics, prometheusMetrics } from './telemetry/metrics.ts';
import { awsTokens } from './tokens/aws-tokens.ts';
import { isFresh, isUsable } from './tokens/token.ts';

interface Surroundings {
  readonly cluster: ClusterConfig;
  readonly view: SecretView;
  inSync(): boolean;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * How long a pod waits for ECR before its namespace's Secret is written with the host as one to be filled in: well
 * below the 5 s that the API server gives us, so that the note is stored before the pod is admitted.
 */
const patienceMs = 2_000;

async function main(args: readonly string[]): Promise<void> {
  const command = readCommand(args);
  switch (command.name) {
    case 'help':
      process.stdout.write(usage);
      return;
    case 'version':
      process.stdout.write(`${packageJson.version}\n`);
      return;
    case 'usage-error':
      process.stderr.write(`ecr-pull-secrets: ${command.problem}\n\n${usage}`);
      process.exitCode = 2;
      return;
    case 'serve':
      await serve(await configFrom(command.configFile), process.env);
  }
}

async function configFrom(file: string | undefined): Promise<Config> {
  if (file === undefined) {
    return readConfig('', 'the default configuration');
  }
  const yaml = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new ConfigError(file, [{ path: '', text: `cannot be read (${serializeError(error)['code']})` }]);
  });
  return readConfig(yaml, file);
}

/** Where all parts meet: makes them, starts them, and ends them on a signal. */
async function serve(config: Config, environment: NodeJS.ProcessEnv): Promise<void> {
  const log = jsonLog(config.log.level);
  const metrics = prometheusMetrics();
  let draining = false;

  const cluster = loadKubeConfig({
    kubeconfigPath: config.kubernetes.kubeconfig,
    requestTimeoutMs: config.kubernetes.requestTimeout,
    userAgent: `ecr-pull-secrets/${packageJson.version}`,
  });
  const view = new SecretView();
  const watch = watchSecretMetadata({
    config: cluster,
    name: config.secretName,
    sink: view,
    onError: (error) => {
      metrics.watchFailure(error.code);
      log.warn({ err: error }, 'the watch of the pull Secrets broke; it is taken up again');
    },
  });
  metrics.observe({ inSync: () => watch.inSync(), earliestEnds: () => view.earliestEnds() });

  const secrets = pullSecretsOf(config, environment, {
    cluster,
    view,
    inSync: () => watch.inSync(),
    log,
    metrics,
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
  void watch.start().then(() => (watch.inSync() ? log.info('in sync with the API server') : undefined));

  endGracefully(config, log, async () => {
    draining = true;
    await sleep(config.webhook.shutdownDelay);
    await app.close();
    certificates.close();
    await watch.stop();
    await cluster.close();
    await status.close();
  });
}

function pullSecretsOf(
  config: Config,
  environment: NodeJS.ProcessEnv,
  { cluster, view, inSync, log, metrics }: Surroundings,
): PullSecrets {
  const { freshFraction, minimumLife, requestTimeout, connectTimeout, maxRegions } = config.tokens;
  const freshness = { fraction: freshFraction, floorMs: minimumLife };
  const tokens = awsTokens({
    rules: config.registries,
    freshness,
    timeouts: { connectMs: connectTimeout, requestMs: requestTimeout },
    maxKeys: maxRegions,
    environment,
    now: Date.now,
    random: Math.random,
    onCall: ({ identity, region, outcome, failure, servedOld }) => {
      metrics.ecrCall(region, outcome);
      if (failure === undefined) {
        log.info({ identity, region }, 'new ECR token');
      } else {
        log.warn({ identity, region, servedOld, err: failure }, 'no new ECR token');
      }
    },
  });
  return pullSecrets({
    store: secretStore(secretApi(cluster), config.secretName, randomBytes(4).toString('hex')),
    view,
    inSync,
    token: (registry) => tokens.get(registry),
    rules: {
      maxHosts: config.secrets.maxHosts,
      isFresh: (life) => isFresh(life, Date.now(), freshness),
      isUsable: (life) => isUsable(life, Date.now(), freshness),
    },
    patienceMs,
    log,
    counted: metrics.secretWrite,
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

main(process.argv.slice(2)).catch((error: unknown) => {
  const { message, code, stack } = serializeError(error);
  process.stderr.write(`ecr-pull-secrets: ${message}\n${code === undefined ? `${stack}\n` : ''}`);
  process.exit(error instanceof ConfigError ? 2 : 1);
});
