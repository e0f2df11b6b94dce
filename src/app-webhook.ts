// Builds the webhook server with its serving certificate and client CA, which may change while it serves.
import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from './app.ts';
import { type ClientCa, watchClientCa } from './certificates/certificate-files.ts';
import { type CertificateSource, openCertificateSource } from './certificates/certificate-source.ts';
import { getValidityState } from './certificates/key-pair.ts';
import type { Config } from './config/schema.ts';
import type { Log } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { createAdmissionHandler } from './webhook/handler.ts';
import { listenOn } from './webhook/listen.ts';
import { createWebhook, updateTlsIdentity, type Webhook } from './webhook/server.ts';
import type { TlsIdentity } from './webhook/tls-options.ts';

export interface AppWebhookDependencies {
  readonly config: Config;
  readonly app: App;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called for each pod that is admitted although a token is missing. */
  onMissingToken(): void;
}

/** The webhook server of `serve`. Everything may be called before {@link AppWebhook.open} has resolved. */
export class AppWebhook {
  readonly #dependencies: AppWebhookDependencies;
  #certificates: CertificateSource | undefined;
  #clientCa: ClientCa | undefined;
  #identity: TlsIdentity | undefined;
  #server: Webhook | undefined;
  #draining = false;
  readonly #stop = new AbortController();

  constructor(dependencies: AppWebhookDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Waits for a certificate, for as long as it takes, and then listens.
   * @returns the URL
   * @throws {CertificateError} for files that cannot be used
   */
  async open(): Promise<string> {
    const { config, app, log } = this.#dependencies;
    this.#certificates = await openCertificateSource({
      config,
      cluster: app.cluster,
      onChange: ({ certPem, keyPem, fingerprint, notAfter }) => {
        this.#updateIdentity({ certPem, keyPem });
        log.info(
          { fingerprint, notAfter: new Date(notAfter).toISOString() },
          'serving with a new certificate',
        );
      },
      log,
      signal: this.#stop.signal,
    });
    const { clientAuth } = config.webhook;
    this.#clientCa = clientAuth && (await this.#watchClientCa(clientAuth.caFile));
    this.#identity = { ...this.#certificates.current, clientCaPem: this.#clientCa?.current };
    this.#server = this.#createServer(this.#identity);
    return await listenOn(this.#server, 'webhook', config.webhook);
  }

  /** Why the process should get no requests now; empty if it is ready. */
  notReadyReasons(): string[] {
    return [...this.#listCertificateProblems(), ...(this.#draining ? ['draining'] : [])];
  }

  /** When the serving certificate expires, in ms since the epoch; undefined until one is served. */
  certificateExpiresAt(): number | undefined {
    return this.#certificates?.current.notAfter;
  }

  /** Stops being ready, waits until callers know, and completes the requests in flight. */
  async drain(): Promise<void> {
    this.#draining = true;
    if (this.#server !== undefined) {
      await sleep(this.#dependencies.config.webhook.shutdownDelay);
      await this.#server.close();
    }
    this.#clientCa?.close();
  }

  /** Resolves when certificates are neither read nor written any more. */
  async closeCertificates(): Promise<void> {
    // Before there is a certificate, only the signal stops the attempts to get one.
    this.#stop.abort();
    await this.#certificates?.close();
  }

  #createServer(identity: TlsIdentity): Webhook {
    const { config, app, log, metrics, onMissingToken } = this.#dependencies;
    return createWebhook({
      identity,
      allowedNames: config.webhook.clientAuth?.allowedNames ?? [],
      maxConnections: config.webhook.maxConnections,
      onRefused: (reason) => metrics.review('refused', reason),
      handleReview: createAdmissionHandler({
        rules: app.createDecisionRules(),
        onFailure: config.onFailure,
        deadlineMarginMs: config.webhook.deadlineMargin,
        onMissingToken: () => onMissingToken(),
        pullSecrets: app.secrets,
        log,
        metrics,
      }),
      isDraining: () => this.#draining,
      log,
    });
  }

  #watchClientCa(caFile: string): Promise<ClientCa> {
    const { log } = this.#dependencies;
    return watchClientCa({
      caFile,
      onChange: (clientCaPem) => {
        this.#updateIdentity({ clientCaPem });
        log.info({ caFile }, 'reloaded the client CA');
      },
      onProblem: (error) =>
        log.error({ err: error }, 'failed to reload the client CA; keeping the previous one'),
    });
  }

  #updateIdentity(change: Partial<TlsIdentity>): void {
    if (this.#server !== undefined && this.#identity !== undefined) {
      this.#identity = { ...this.#identity, ...change };
      updateTlsIdentity(this.#server, this.#identity);
    }
  }

  #listCertificateProblems(): string[] {
    if (this.#certificates === undefined) {
      return ['no certificate yet'];
    }
    const state = getValidityState(this.#certificates.current, Date.now());
    return state === 'valid' ? [] : ['the certificate is not valid now'];
  }
}
