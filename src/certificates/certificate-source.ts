// Opens the configured source of the serving certificate: files or managed certificates.
import type { Config } from '../config/schema.ts';
import type { ClusterConfig } from '../kube/client.ts';
import type { Log } from '../telemetry/log.ts';
import { watchCertificateFiles } from './certificate-files.ts';
import type { KeyPair } from './key-pair.ts';

/** A source of the webhook's serving certificate. */
export interface CertificateSource {
  /** The key pair to serve: the last valid one. */
  readonly current: KeyPair;
  /** Stops watching. No callback is called afterwards. */
  close(): void | Promise<void>;
}

/** Dependencies of {@link openCertificateSource}. */
export interface CertificateSourceDependencies {
  readonly config: Pick<Config, 'certificates' | 'webhook'>;
  readonly cluster: ClusterConfig;
  /** Called with each new key pair, already validated, but not with the initial one. */
  readonly onChange: (keyPair: KeyPair) => void;
  readonly log: Log;
  /** Stops managed certificates, also before the source is open, which it then never is. */
  readonly signal?: AbortSignal;
}

/**
 * Opens the configured source. With managed certificates, resolves when there is a certificate, however long that takes.
 * @throws {CertificateError} with the codes of {@link watchCertificateFiles}, or with code `no-namespace`
 */
export async function openCertificateSource(
  dependencies: CertificateSourceDependencies,
): Promise<CertificateSource> {
  const { config, cluster, onChange, log, signal } = dependencies;
  if (config.certificates.source === 'files') {
    const { certFile, keyFile } = config.webhook;
    return await watchCertificateFiles({
      certFile,
      keyFile,
      onChange,
      onProblem: (error) =>
        log.error({ err: error }, 'failed to load the new certificate; still serving the previous one'),
    });
  }
  // Loaded on demand, so that a start with certificate files does not load node-forge.
  const { ManagedCertificates, resolveManagedSettings } = await import('./managed-certificates.ts');
  const settings = resolveManagedSettings(config, cluster);
  return await ManagedCertificates.open({
    ...settings,
    cluster,
    onChange,
    log,
    now: Date.now,
    ...(signal !== undefined && { signal }),
  });
}
