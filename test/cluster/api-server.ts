// Starts kube-apiserver with etcd on loopback.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueCaCertificate, issueServingCertificate } from '../../src/certificates/issue.ts';
import type { Binaries } from './binaries.ts';
import { send } from './kube-request.ts';
import { buildKubeconfig, type Kubeconfig, writeKubeconfig } from './kubeconfig.ts';
import { findFreePort, type ServerProcess, ServerStartError, startServer } from './server-process.ts';
import { type WebhookUser, writeAdmissionConfiguration } from './webhook-user.ts';

export interface ApiServerOptions {
  /**
   * Enables the ServiceAccount admission plugin, which gives pods a ServiceAccount, its pull secrets and its token, and
   * refuses pods without one. Off by default, because no controller creates the ServiceAccount `default` of a namespace.
   */
  readonly serviceAccountAdmission?: boolean;
  /** The client certificate for admission webhooks; none by default. */
  readonly webhookUser?: WebhookUser;
  /** More flags for kube-apiserver. */
  readonly args?: readonly string[];
}

/** kube-apiserver with its own etcd, on loopback, with RBAC enabled, and without controllers and nodes. */
export interface ApiServer {
  readonly url: string;
  /** The kubeconfig of a cluster-admin. */
  readonly kubeconfigPath: string;
  readonly adminKubeconfig: Kubeconfig;
  /** The CA of its serving certificate. */
  readonly caPem: string;
  /** Without a leading `v`. */
  readonly version: string;
  /** Contains kube-apiserver.log and etcd.log. Removed by stop(). */
  readonly folder: string;
  /** Simulates an outage: kills the API server. Its data is kept. */
  kill(): Promise<void>;
  /** Kills the API server if it runs, and starts it on the same port with the same data. */
  restart(): Promise<void>;
  /** Kills both processes and removes the folder. */
  stop(): Promise<void>;
}

const dayMs = 86_400_000;
/** How long one server may take to become ready. It takes 3 s on 2 idle cores, and longer on a busy machine. */
const readyTimeoutMs = 60_000;

/**
 * Starts etcd and kube-apiserver and waits for /readyz.
 * @throws {ServerStartError} with the end of the log of the server that did not start
 */
export async function startApiServer(binaries: Binaries, options: ApiServerOptions = {}): Promise<ApiServer> {
  const folder = await mkdtemp(join(tmpdir(), 'kube-'));
  const credentials = writeCredentials(folder);
  const etcd = await startOnFreePort((port) => startEtcd(binaries, folder, port));
  try {
    const { caPem, token } = await credentials;
    const start = (port: number) =>
      startKubeApiServer(binaries, { folder, port, etcdPort: etcd.port, caPem, options });
    let current = await startOnFreePort(start);
    const url = `https://127.0.0.1:${current.port}`;
    const adminKubeconfig = buildKubeconfig({ url, caPem }, 'admin', token);
    const kubeconfigPath = await writeKubeconfig(join(folder, 'admin.kubeconfig'), adminKubeconfig);
    const kill = () => current.server.kill();
    return {
      ...{ url, kubeconfigPath, adminKubeconfig, caPem, version: binaries.version, folder, kill },
      restart: async () => {
        await kill();
        current = { port: current.port, server: await start(current.port) };
      },
      stop: async () => {
        await Promise.all([kill(), etcd.server.kill()]);
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await etcd.server.kill();
    throw error;
  }
}

interface ServerOnPort {
  readonly port: number;
  readonly server: ServerProcess;
}

// Another process may take a free port before the server listens on it, so another port is tried.
async function startOnFreePort(
  start: (port: number) => Promise<ServerProcess>,
  attempts = 5,
): Promise<ServerOnPort> {
  const port = await findFreePort();
  try {
    return { port, server: await start(port) };
  } catch (error) {
    const shouldRetry = error instanceof ServerStartError && error.portTaken && attempts > 1;
    if (!shouldRetry) {
      throw error;
    }
    return startOnFreePort(start, attempts - 1);
  }
}

function startEtcd({ etcd }: Binaries, folder: string, port: number): Promise<ServerProcess> {
  const url = `http://127.0.0.1:${port}`;
  const urls = [
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    '--listen-peer-urls=http://127.0.0.1:0',
  ];
  return startServer({
    program: etcd,
    // The data does not have to survive a power failure.
    args: ['--unsafe-no-fsync', '--log-level=warn', `--data-dir=${join(folder, 'etcd')}`, ...urls],
    logFile: join(folder, 'etcd.log'),
    removeIfOrphaned: folder,
    isReady: () => respondsOk(`${url}/health`),
    timeoutMs: readyTimeoutMs,
  });
}

interface KubeApiServerSettings {
  folder: string;
  port: number;
  etcdPort: number;
  caPem: string;
  options: ApiServerOptions;
}

async function startKubeApiServer(
  { kubeApiServer }: Binaries,
  settings: KubeApiServerSettings,
): Promise<ServerProcess> {
  const { webhookUser } = settings.options;
  const admission =
    webhookUser === undefined
      ? []
      : [
          `--admission-control-config-file=${await writeAdmissionConfiguration(settings.folder, webhookUser)}`,
        ];
  return await startServer({
    program: kubeApiServer,
    args: [...buildFlags(settings), ...admission, ...(settings.options.args ?? [])],
    logFile: join(settings.folder, 'kube-apiserver.log'),
    isReady: async () => {
      const options = { ca: settings.caPem, agent: false, signal: AbortSignal.timeout(2_000) };
      return (await send(`https://127.0.0.1:${settings.port}/readyz`, options)).status === 200;
    },
    timeoutMs: readyTimeoutMs,
  });
}

function buildFlags({ folder, port, etcdPort, options }: KubeApiServerSettings): string[] {
  const issuer = 'https://kubernetes.default.svc.cluster.local';
  const key = join(folder, 'service-account.key');
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${join(folder, 'tls.crt')}`,
    `--tls-private-key-file=${join(folder, 'tls.key')}`,
    `--cert-dir=${folder}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    `--service-account-issuer=${issuer}`,
    `--service-account-signing-key-file=${key}`,
    `--service-account-key-file=${key}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // The Service `kubernetes` cannot have an endpoint on a loopback address, so do not retry every ten seconds.
    '--endpoint-reconciler-type=none',
    '--allow-privileged=true',
    '--profiling=false',
    ...(options.serviceAccountAdmission ? [] : ['--disable-admission-plugins=ServiceAccount']),
  ];
}

/** Creates the files with certificates, the key that signs ServiceAccount tokens, and the administrator's token. */
async function writeCredentials(folder: string): Promise<{ caPem: string; token: string }> {
  const now = Date.now();
  const ca = await issueCaCertificate({ commonName: 'test API server CA', now, validForMs: 30 * dayMs });
  const names = { dnsNames: ['localhost', 'kubernetes.default.svc'], ipAddresses: ['127.0.0.1'] };
  const serving = await issueServingCertificate({ ca, ...names, now, validForMs: 30 * dayMs });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const token = randomBytes(24).toString('hex');
  const secret = { mode: 0o600 };
  await writeFile(join(folder, 'tls.crt'), serving.certPem);
  await writeFile(join(folder, 'tls.key'), serving.keyPem, secret);
  await writeFile(
    join(folder, 'service-account.key'),
    privateKey.export({ type: 'pkcs8', format: 'pem' }),
    secret,
  );
  // TOKEN,USER,UID,"GROUPS". The group system:masters has all permissions, independent of RBAC.
  await writeFile(join(folder, 'tokens.csv'), `${token},admin,admin,"system:masters"\n`, secret);
  return { caPem: ca.certPem, token };
}

function respondsOk(url: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const outgoing = httpRequest(url, { agent: false, signal: AbortSignal.timeout(2_000) }, (response) => {
    response.resume();
    resolve(response.statusCode === 200);
  });
  outgoing.on('error', reject).end();
  return promise;
}
