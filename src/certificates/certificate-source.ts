import type { Config } from '../config/schema.ts';
import type { ClusterConfig } from '../kube/client.ts';
import type { Log } from '../telemetry/log.ts';
import { watchCertificateFiles } from './certificate-files.ts';
import type { KeyPair } from './key-pair.ts';

/** Where the webhook's certificate comes from. */
export interface CertificateSource {
  /** The pair to serve now: always the last that was good. */
  readonly current: KeyPair;
  /** Ends it. Nothing is called afterwards. */
  close(): void | Promise<void>;
}

export interface CertificateSourceDependencies {
  readonly config: Pick<Config, 'certificates' | 'webhook'>;
  readonly cluster: ClusterConfig;
  /** A new pair, already checked. Called for changes only, not for the pair that was there at first. */
  readonly onChange: (keyPair: KeyPair) => void;
  readonly log: Log;
}

/**
 * Opens the source that the configuration names. Managed certificates are waited for, however long it takes.
 * @throws {CertificateError} what watchCertificateFiles and resolveManagedSettings say
 */
export async function openCertificateSource(
  dependencies: CertificateSourceDependencies,
): Promise<CertificateSource> {
  const { config, cluster, onChange, log } = dependencies;
  if (config.certificates.source === 'files') {
    const { certFile, keyFile } = config.webhook;
    return await watchCertificateFiles({
      certFile,
      keyFile,
      onChange,
      onProblem: (error) =>
        log.error({ err: error }, 'the new certificate cannot be used; the old one stays'),
    });
  }
  // Those who bring files need not wait until node-forge is loaded.
  const [{ resolveManagedSettings }, { ManagedCertificates }] = await Promise.all([
    import('./managed-certificates.ts'),
    import('./managed-certificates.ts'),
  ]);
  const settings = resolveManagedSettings(config, cluster);
  return await ManagedCertificates.open({ ...settings, cluster, onChange, log, now: Date.now });
}
