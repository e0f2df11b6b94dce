// Installs the chart with a configuration that uses every feature that can break, and runs the program behind its Service.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueCaCertificate, issueServingCertificate } from '../../src/certificates/issue.ts';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';
import { dayMs } from '../certificates/test-certificates.ts';
import type { Helm } from '../chart/helm.ts';
import { createRelease, type Release } from '../chart/release.ts';
import { getValueAt } from '../chart/rendered-objects.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { findFreePort } from '../cluster/server-process.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import type { RoleTrust } from '../doubles/ecr/sts-sessions.ts';
import { denyPull, type EcrHosts, startEcrHosts } from '../pull/ecr-hosts.ts';
import { startRegistry } from '../pull/local-registry.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { bundleInto, startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import type { ProcessOutput } from '../support/run-program.ts';
import {
  type DoctorChanges,
  type DoctorOutput,
  type DoctorProcessOptions,
  spawnCommand,
  spawnDoctor,
} from './doctor-process.ts';
import { type ServiceGateway, startServiceGateway } from './service-gateway.ts';
import {
  createNamedNamespace,
  createReplicaObjects,
  createUserPod,
  publishApiServer,
  type ReplicaObjects,
  send,
} from './simulated-workloads.ts';

/** The host of most images, and those of accounts that lend a role, one of them only with an external ID. */
export const ownHost = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
export const partnerHost = '210987654321.dkr.ecr.eu-central-1.amazonaws.com';
export const vendorHost = '444444444444.dkr.ecr.eu-central-1.amazonaws.com';

/** The image of the pods that run. */
export const ownImage = `${ownHost}/shop/cart:1.4`;

export const partnerRole = 'arn:aws:iam::210987654321:role/ecr-pull';
export const vendorRole = 'arn:aws:iam::444444444444:role/ecr-pull';
const paymentsRole = 'arn:aws:iam::123456789012:role/payments-pull';

/** The flags of an API server whose Services have addresses of this machine, so that it can call a webhook by its Service. */
export const loopbackServices = ['--service-cluster-ip-range=127.77.0.0/16'];

const config = {
  exclude: { namespaces: ['build-*'] },
  registries: [
    { namespaces: { names: ['sandbox'] }, access: 'deny' },
    {
      namespaces: { names: ['payments'] },
      webIdentity: { serviceAccount: 'ecr-pull' },
      allowedRoles: ['arn:aws:iam::123456789012:role/payments-*'],
    },
    { accounts: ['210987654321'], roleArn: partnerRole, externalId: 'our-cluster' },
    { accounts: ['444444444444'], roleArn: vendorRole },
  ],
  provisioning: { registries: [ownHost], namespaces: { names: ['shop'] } },
};

/** Who runs doctor from where. */
export type Caller = 'inside' | 'administrator' | 'developer';

/** How each caller checks everything that it may check. The developer may create pods in one namespace only. */
export const fullChecks: Readonly<Record<Caller, readonly string[]>> = {
  inside: ['doctor'],
  administrator: ['doctor'],
  developer: ['doctor', '--namespace', 'shop'],
};

/** A healthy installation, and everything that can be broken in it. */
export interface HealthyInstallation {
  readonly cluster: Cluster;
  readonly release: Release;
  readonly ecr: EcrDouble;
  /** The roles that STS knows, by ARN. */
  readonly roles: Record<string, RoleTrust>;
  /** Repositories that deny every caller, with the message of IAM. */
  readonly deniedRepositories: Map<string, string>;
  readonly gateway: ServiceGateway;
  readonly replicas: ReplicaObjects;
  /** Replaces the certificate that the program serves with one for the same names. */
  serve(validity: 'valid' | 'expired'): Promise<void>;
  /** Runs doctor with the rights of a caller. */
  doctor(caller: Caller, command: readonly string[], changes?: DoctorChanges): Promise<DoctorOutput>;
  /** Runs a command that examines the installation, and returns its text. */
  print(caller: Caller, command: readonly string[], changes?: DoctorChanges): Promise<ProcessOutput>;
  stop(): Promise<void>;
}

/** Starts everything, and waits until the API server calls the program and the first pods have their Secrets. */
export async function startHealthyInstallation(cluster: Cluster, helm: Helm): Promise<HealthyInstallation> {
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  const cleanups: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const cleanUp = async () => {
    for (const step of cleanups.reverse()) {
      await step();
    }
  };
  try {
    return await start(cluster, helm, folder, cleanups, cleanUp);
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

async function start(
  cluster: Cluster,
  helm: Helm,
  folder: string,
  cleanups: (() => Promise<unknown>)[],
  stop: () => Promise<void>,
): Promise<HealthyInstallation> {
  const bundle = join(folder, 'main.mjs');
  await bundleInto(bundle);
  const roles: Record<string, RoleTrust> = { [partnerRole]: { externalId: 'our-cluster' }, [vendorRole]: {} };
  const ecr = await startEcrDouble({ roles, verifiesDates: true });
  cleanups.push(() => ecr.stop());
  const deniedRepositories = new Map<string, string>();
  const hosts = await startRegistryHosts(ecr, deniedRepositories, cleanups);
  const caFile = join(folder, 'registry-ca.crt');
  await writeFile(caFile, hosts.caPem);
  const environment = { ...ecr.env(), HTTPS_PROXY: hosts.proxyUrl, AWS_CA_BUNDLE: caFile };

  const release = await createRelease(cluster, helm);
  const certificates = await createServingCertificates(cluster, release.namespace, folder);
  const port = await findFreePort();
  await release.install({
    injection: 'webhook',
    service: { port },
    config,
    certificates: { mode: 'existingSecret', secretName: 'own', caBundle: certificates.ca.certPem },
  });
  cleanups.push(() => release.uninstall());
  const kubeconfigPath = await release.kubeconfig();
  const program = await startProgram({
    program: bundle,
    kubeconfigPath,
    environment,
    certificates: { directory: folder, caPem: certificates.ca.certPem },
    config: await release.configFile(),
  });
  cleanups.push(() => program.stop());
  const gateway = await startServiceGateway(
    { host: await readClusterIp(cluster, release.namespace), port },
    Number(new URL(program.webhookUrl).port),
  );
  cleanups.push(() => gateway.stop());
  const replicas = createReplicaObjects(cluster, release.namespace, 8443, await release.pods());
  await replicas.create();
  await publishApiServer(cluster);
  await createUsers(cluster);

  const developer = await createDeveloper(cluster);
  const kubeconfigs = { administrator: cluster.kubeconfigPath, developer };
  const createRun = async (
    caller: Caller,
    command: readonly string[],
    { environment: changed, config: settings, preload }: DoctorChanges = {},
  ): Promise<DoctorProcessOptions> => {
    if (caller !== 'inside') {
      const args = [...command, '--kubeconfig', kubeconfigs[caller]];
      const own = { HOME: folder, ...changed };
      return { program: bundle, args, folder, preload, config: undefined, environment: own };
    }
    return {
      program: bundle,
      args: [...command, '--install-namespace', release.namespace],
      environment: { ...environment, ...changed },
      config: {
        ...(await release.configFile()),
        webhook: { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') },
        kubernetes: { kubeconfig: kubeconfigPath },
        ...settings,
      },
      ...{ folder, preload },
    };
  };
  return {
    ...{ cluster, release, ecr, roles, deniedRepositories, gateway, replicas, stop },
    serve: certificates.serve,
    doctor: async (...run) => await spawnDoctor(await createRun(...run)),
    print: async (...run) => await spawnCommand(await createRun(...run)),
  };
}

async function startRegistryHosts(
  ecr: EcrDouble,
  denied: ReadonlyMap<string, string>,
  cleanups: (() => Promise<unknown>)[],
): Promise<EcrHosts> {
  const registry = await startRegistry();
  cleanups.push(() => registry.stop());
  await registry.push('shop/cart', '1.4');
  const regions = ['eu-central-1'];
  const intercept = ({ url = '' }: IncomingMessage) => {
    const [, repository = ''] = /^\/v2\/(.+)\/manifests\//.exec(url) ?? [];
    const message = denied.get(repository);
    return message === undefined ? undefined : denyPull(message);
  };
  const hosts = await startEcrHosts({ ecr, regions, intercept, socketPath: registry.socketPath });
  cleanups.push(() => hosts.stop());
  return hosts;
}

/** Issues certificates for the chart's Service, and stores the valid one where the program and the chart expect it. */
async function createServingCertificates(cluster: Cluster, namespace: string, folder: string) {
  const now = Date.now();
  const ca = await issueCaCertificate({ commonName: 'company CA', now, validForMs: 3650 * dayMs });
  const names = { dnsNames: [`ecr-pull-secrets.${namespace}.svc`], ipAddresses: ['127.0.0.1'] };
  const pairs: Record<'valid' | 'expired', PemKeyPair> = {
    valid: await issueServingCertificate({ ca, ...names, now, validForMs: 90 * dayMs }),
    expired: await issueServingCertificate({ ca, ...names, now: now - 3 * dayMs, validForMs: dayMs }),
  };
  const secret = `/api/v1/namespaces/${namespace}/secrets`;
  const store = async (validity: keyof typeof pairs) => {
    const { certPem, keyPem } = pairs[validity];
    await writeFile(join(folder, 'tls.crt'), certPem);
    await writeFile(join(folder, 'tls.key'), keyPem);
    return { data: { 'tls.crt': btoa(certPem), 'tls.key': btoa(keyPem) } };
  };
  const metadata = { name: 'own' };
  await send(cluster, 'POST', secret, { metadata, type: 'kubernetes.io/tls', ...(await store('valid')) });
  return {
    ca,
    serve: async (validity: keyof typeof pairs) => {
      await send(cluster, 'PATCH', `${secret}/own`, await store(validity));
    },
  };
}

async function readClusterIp(cluster: Cluster, namespace: string): Promise<string> {
  const { body } = await cluster.request('GET', `/api/v1/namespaces/${namespace}/services/ecr-pull-secrets`);
  return getValueAt(body, 'spec.clusterIP');
}

/** Creates the namespaces of users, each with a pod that runs. */
async function createUsers(cluster: Cluster): Promise<void> {
  const images = {
    shop: ownImage,
    partner: `${partnerHost}/shop/cart:1.4`,
    vendor: `${vendorHost}/shop/cart:1.4`,
    payments: ownImage,
  };
  for (const namespace of Object.keys(images)) {
    await createNamedNamespace(cluster, namespace);
  }
  await send(cluster, 'POST', '/api/v1/namespaces/payments/serviceaccounts', {
    metadata: { name: 'ecr-pull', annotations: { 'eks.amazonaws.com/role-arn': paymentsRole } },
  });
  await eventually('the API server calls the program', async () => {
    const pod = podWith([ownImage]);
    return (await createPod(cluster, 'shop', pod, { dryRun: true })).pullSecrets.length > 0;
  });
  for (const [namespace, image] of Object.entries(images)) {
    await createUserPod(cluster, namespace, 'web', image);
    const [host = ''] = image.split('/');
    await eventually(`${namespace} has a token`, async () => {
      return (await readPullSecret(cluster, namespace))?.auths[host] !== undefined;
    });
  }
}

/** Creates a user who may edit the namespace `shop` only. */
async function createDeveloper(cluster: Cluster): Promise<string> {
  const name = 'developer';
  await send(cluster, 'POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings', {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
    subjects: [{ kind: 'ServiceAccount', name, namespace: 'shop' }],
  });
  return await cluster.serviceAccountKubeconfig('shop', name);
}
