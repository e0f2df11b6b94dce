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
import { freePort, type ServerProcess, ServerStartError, startServer } from './server-process.ts';
import { type WebhookUser, writeAdmissionConfiguration } from './webhook-user.ts';

export interface ApiServerOptions {
  /**
   * The ServiceAccount admission plugin: gives pods a ServiceAccount, its pull secrets and its token, and refuses
   * them where there is none. Default off, since no controller makes the `default` one of a namespace.
   */
  readonly serviceAccountAdmission?: boolean;
  /** The client certificate for admission webhooks; default none. */
  readonly webhookUser?: WebhookUser;
  /** More flags for kube-apiserver. */
  readonly args?: readonly string[];
}

/** kube-apiserver on an etcd of its own, on loopback, RBAC on, nothing beside them (no controllers, no nodes). */
export interface ApiServer {
  readonly url: string;
  /** For a cluster-admin. */
  readonly kubeconfigPath: string;
  readonly adminKubeconfig: Kubeconfig;
  /** What its serving certificate is trusted by. */
  readonly caPem: string;
  /** Without a leading `v`. */
  readonly version: string;
  /** Everything under it is gone after stop(). Has kube-apiserver.log and etcd.log. */
  readonly folder: string;
  /** An outage: ends the API server at once, in the middle of whatever it does. The data stay. */
  kill(): Promise<void>;
  /** Ends the API server if it runs, and starts it on the same port with the same data. */
  restart(): Promise<void>;
  /** Ends everything and removes the folder. */
  stop(): Promise<void>;
}

const dayMs = 86_400_000;
/** For one server to be ready. Seen: 3 s alone on 2 cores; the rest is for a busy machine. */
const readyTimeoutMs = 60_000;

/**
 * Starts etcd and kube-apiserver and waits for /readyz.
 * @throws {ServerStartError} with the end of the log of the one that did not start
 */
export async function startApiServer(binaries: Binaries, options: ApiServerOptions = {}): Promise<ApiServer> {
  const folder = await mkdtemp(join(tmpdir(), 'kube-'));
  const credentials = writeCredentials(folder);
  const etcd = await onFreePort((port) => startEtcd(binaries, folder, port));
  try {
    const { caPem, token } = await credentials;
    const start = (port: number) =>
      startKubeApiServer(binaries, { folder, port, etcdPort: etcd.port, caPem, options });
    let running = await onFreePort(start);
    const url = `https://127.0.0.1:${running.port}`;
    const adminKubeconfig = buildKubeconfig({ url, caPem }, 'admin', token);
    const kubeconfigPath = await writeKubeconfig(join(folder, 'admin.kubeconfig'), adminKubeconfig);
    const kill = () => running.server.kill();
    return {
      ...{ url, kubeconfigPath, adminKubeconfig, caPem, version: binaries.version, folder, kill },
      restart: async () => {
        await kill();
        running = { port: running.port, server: await start(running.port) };
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

interface OnPort {
  readonly port: number;
  readonly server: ServerProcess;
}

// Between asking for a free port and listening on it, another process may take it.
async function onFreePort(start: (port: number) => Promise<ServerProcess>, attempts = 5): Promise<OnPort> {
  const port = await freePort();
  try {
    return { port, server: await start(port) };
  } catch (error) {
    const again = error instanceof ServerStartError && error.portTaken && attempts > 1;
    if (!again) {
      throw error;
    }
    return onFreePort(start, attempts - 1);
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
    // Nothing here must survive a power cut.
    args: ['--unsafe-no-fsync', '--log-level=warn', `--data-dir=${join(folder, 'etcd')}`, ...urls],
    logFile: join(folder, 'etcd.log'),
    removeIfOrphaned: folder,
    ready: () => respondsOk(`${url}/health`),
    withinMs: readyTimeoutMs,
  });
}

interface KubeApiServer {
  folder: string;
  port: number;
  etcdPort: number;
  caPem: string;
  options: ApiServerOptions;
}

async function startKubeApiServer({ kubeApiServer }: Binaries, how: KubeApiServer): Promise<ServerProcess> {
  const { webhookUser } = how.options;
  const admission =
    webhookUser === undefined
      ? []
      : [`--admission-control-config-file=${await writeAdmissionConfiguration(how.folder, webhookUser)}`];
  return await startServer({
    program: kubeApiServer,
    args: [...buildFlags(how), ...admission, ...(how.options.args ?? [])],
    logFile: join(how.folder, 'kube-apiserver.log'),
    ready: async () => {
      const options = { ca: how.caPem, agent: false, signal: AbortSignal.timeout(2_000) };
      return (await send(`https://127.0.0.1:${how.port}/readyz`, options)).status === 200;
    },
    withinMs: readyTimeoutMs,
  });
}

function buildFlags({ folder, port, etcdPort, options }: KubeApiServer): string[] {
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
    // On a loopback address the Service `kubernetes` could have no endpoint: do not try every ten seconds.
    '--endpoint-reconciler-type=none',
    '--allow-privileged=true',
    '--profiling=false',
    ...(options.serviceAccountAdmission ? [] : ['--disable-admission-plugins=ServiceAccount']),
  ];
}

/** Certificates, the key that signs ServiceAccount tokens, and the administrator's token, as files. */
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
  // TOKEN,USER,UID,"GROUPS": system:masters may do everything, whatever RBAC says.
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
