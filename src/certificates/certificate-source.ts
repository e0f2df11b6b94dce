import type { Config } from '../config/schema.ts';
import type { ClusterConfig } from '../kube/client.ts';
import type { Log } from '../telemetry/log.ts';
import { openCertificateFiles } from './certificate-files.ts';
import type { CertificatePair } from './key-pair.ts';

/** Where the webhook's certificate comes from. */
export interface CertificateSource {
  /** The pair to serve now: always the last that was good. */
  readonly current: CertificatePair;
  /** Ends it. Nothing is called afterwards. */
  close(): void | Promise<void>;
}

export interface CertificateSourceParts {
  readonly config: Pick<Config, 'certificates' | 'webhook'>;
  readonly cluster: ClusterConfig;
  /** A new pair, already checked. Called for changes only, not for the pair that was there at first. */
  readonly onChange: (pair: CertificatePair) => void;
  readonly log: Log;
}

/**
 * Opens the source that the configuration names. Managed certificates are waited for, however long it takes.
 * @throws {CertificateError} what openCertificateFiles and managedSettings say
 */
export async function openCertificates(parts: CertificateSourceParts): Promise<CertificateSource> {
  const { config, cluster, onChange, log } = parts;
  if (config.certificates.source === 'files') {
    const { certFile, keyFile } = config.webhook;
    return await openCertificateFiles({
      certFile,
      keyFile,
      onChange,
      onProblem: (error) =>
        log.error({ err: error }, 'the new certificate cannot be used; the old one stays'),
    });
  }
  // Those who bring files need not wait until node-forge is loaded.
  const [{ managedSettings }, { ManagedCertificates }] = await Promise.all([
    import('./managed-certificates.ts'),
    import('./managed-certificates.ts'),
  ]);
  const settings = managedSettings(config, cluster);
  return await ManagedCertificates.open({ ...settings, cluster, onChange, log, now: Date.now });
}
