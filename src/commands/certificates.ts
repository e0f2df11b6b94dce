// The command `certificates`: manages the webhook's certificate and caBundle, and handles no admission requests.
import packageJson from '../../package.json' with { type: 'json' };
import { connectToCluster } from '../app-cluster.ts';
import type { ManagedCertificates } from '../certificates/managed-certificates.ts';
import type { Config } from '../config/schema.ts';
import { createStandardLog } from '../telemetry/log.ts';
import { listenOn } from '../webhook/listen.ts';
import { createStatusServer } from '../webhook/status-server.ts';
import { defineCommand } from './command.ts';
import { addConfigOption, type ConfigOption, configOption, loadConfig } from './config-option.ts';
import { shutDownOnSignal } from './shutdown.ts';

export const certificatesCommand = defineCommand<ConfigOption>({
  name: 'certificates',
  summary: "Manage only the webhook's certificate: issue it, renew it, and publish its CA",
  examples: ['certificates --config config.yaml'],
  isService: true,
  declare: addConfigOption,
  read: configOption,
  run: async (options) => {
    await manageCertificates(await loadConfig(options));
    return undefined;
  },
});

/** How long the process may take to exit after the last write, in ms. */
const endMarginMs = 5_000;

/**
 * Manages the certificates that the replicas mount as files, until a signal arrives. `certificates.source` has no effect,
 * because it sets where `serve` gets its certificate from.
 * @throws {CertificateError} with code `no-namespace`
 */
async function manageCertificates(config: Config): Promise<void> {
  const { log } = createStandardLog(config.log.level);
  // Imported here, so that other commands do not load the X.509 library.
  const { resolveManagedSettings, mountedPropagationMs, ManagedCertificates } = await import(
    '../certificates/managed-certificates.ts'
  );
  const cluster = connectToCluster(config, log);
  const settings = resolveManagedSettings(config, cluster);
  let managed: ManagedCertificates | undefined;
  const stop = new AbortController();
  const status = createStatusServer({
    getNotReadyReasons: () => (managed === undefined ? ['no certificate yet'] : managed.problems()),
  });
  shutDownOnSignal(config.kubernetes.writeTimeout + endMarginMs, log, async () => {
    // A first certificate that is still being stored has no `managed` yet.
    stop.abort();
    await managed?.close();
    await cluster.waitUntilIdle();
    await cluster.close();
    await status.close();
  });
  const address = await listenOn(status, 'status', config.status);
  log.info({ version: packageJson.version, status: address }, 'managing certificates');
  managed = await ManagedCertificates.open({
    ...settings,
    cluster,
    onChange: ({ fingerprint, notAfter }) =>
      log.info({ fingerprint, notAfter: new Date(notAfter).toISOString() }, 'stored a new certificate'),
    log,
    now: Date.now,
    timing: { replicaPropagationMs: mountedPropagationMs },
    signal: stop.signal,
  });
}
