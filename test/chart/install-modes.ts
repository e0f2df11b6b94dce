// Values for each mode in which the chart can be installed.
import type { Values } from './helm.ts';

export const registry = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

/** The values that Roles Anywhere requires, for tests that do not depend on them. */
export const rolesAnywhere = {
  certificateSecret: 'x',
  trustAnchorArn: 'x',
  profileArn: 'x',
  roleArn: 'arn:aws:iam::123456789012:role/x',
};

/** A mode of installation. */
export interface InstallMode {
  readonly name: string;
  readonly values: Values;
  /** The first minor version of Kubernetes that supports the mode. Default: all supported versions. */
  readonly since?: number;
}

const provisioning = { registries: [registry] };
const ownCertificate = { mode: 'existingSecret', secretName: 'own-tls', caBundle: 'LS0tLS1CRUdJTg==' };

/** Every mode, with the values that an operator would set. */
export const installModes: readonly InstallMode[] = [
  { name: 'no values', values: {} },
  {
    name: 'one ServiceAccount for admission requests and certificates',
    values: { certificates: { managed: { controller: { enabled: false } } } },
  },
  { name: 'certificates from cert-manager', values: { certificates: { mode: 'certManager' } } },
  {
    name: 'certificates from a configured issuer',
    values: {
      certificates: {
        mode: 'certManager',
        certManager: { issuerRef: { name: 'company', kind: 'ClusterIssuer' } },
      },
    },
  },
  { name: 'an existing certificate', values: { certificates: ownCertificate } },
  { name: 'webhook', values: { injection: 'webhook' } },
  { name: 'webhook for all pods', values: { webhook: { match: 'allPods' } } },
  { name: 'webhook and policy', values: { injection: 'both' }, since: 36 },
  { name: 'policy', values: { injection: 'policy', config: { provisioning } }, since: 36 },
  {
    name: 'ServiceAccounts',
    values: { injection: 'none', config: { provisioning: { ...provisioning, serviceAccounts: ['*'] } } },
  },
  { name: 'webhook and ServiceAccounts', values: { config: { provisioning } } },
  { name: 'a CronJob alone', values: { cronJob: { enabled: true }, config: { provisioning } } },
  {
    name: 'a CronJob beside the webhook',
    values: { cronJob: { enabled: true, besideDeployment: true }, config: { provisioning } },
  },
  {
    name: 'a CronJob and the policy',
    values: { injection: 'policy', cronJob: { enabled: true }, config: { provisioning } },
    since: 36,
  },
  {
    name: 'keys in a Secret',
    values: { aws: { region: 'eu-central-1', credentials: { source: 'secret', secret: { name: 'aws' } } } },
  },
  {
    name: 'web identity',
    values: {
      aws: {
        credentials: {
          source: 'webIdentity',
          webIdentity: { roleArn: 'arn:aws:iam::123456789012:role/ecr-pull' },
        },
      },
    },
  },
  {
    name: 'Roles Anywhere',
    values: {
      cronJob: { enabled: true, besideDeployment: true },
      config: { provisioning },
      aws: {
        credentials: {
          source: 'rolesAnywhere',
          rolesAnywhere: {
            image: { repository: 'registry.example/aws-signing-helper', tag: '1' },
            certificateSecret: 'roles-anywhere',
            trustAnchorArn:
              'arn:aws:rolesanywhere:eu-central-1:123456789012:trust-anchor/00000000-0000-0000-0000-000000000000',
            profileArn:
              'arn:aws:rolesanywhere:eu-central-1:123456789012:profile/00000000-0000-0000-0000-000000000000',
            roleArn: 'arn:aws:iam::123456789012:role/ecr-pull',
          },
        },
      },
    },
  },
  {
    name: 'all optional features on',
    values: {
      autoscaling: { enabled: true },
      webhook: {
        clientAuth: { enabled: true, configMapName: 'client-ca', allowedNames: ['kube-apiserver'] },
      },
      networkPolicy: {
        enabled: true,
        apiServerCidrs: ['10.0.0.0/28'],
        metricsFrom: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
        webhookFrom: [{ podSelector: { matchLabels: { 'k8s-app': 'konnectivity-agent' } } }],
        extraEgress: [{ ports: [{ port: 3128 }] }],
      },
      metrics: {
        serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
        podMonitor: { enabled: true },
        prometheusRule: {
          enabled: true,
          labels: { release: 'prometheus' },
          alertLabels: { team: 'platform' },
        },
        dashboard: { enabled: true, annotations: { grafana_folder: 'Kubernetes' } },
      },
      namespaces: {
        select: 'optIn',
        exclude: ['monitoring'],
        selector: {
          matchLabels: { team: 'shop' },
          matchExpressions: [{ key: 'stage', operator: 'NotIn', values: ['lab'] }],
        },
      },
      priorityClassName: 'system-cluster-critical',
      imagePullSecrets: [{ name: 'mirror' }],
      podAnnotations: { team: 'platform' },
      podLabels: { team: 'platform' },
      extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy.example:3128' }],
      extraVolumes: [{ name: 'ca', configMap: { name: 'company-ca' } }],
      extraVolumeMounts: [{ name: 'ca', mountPath: '/etc/company-ca' }],
      tolerations: [{ key: 'infra', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/ecr' } },
      image: { digest: `sha256:${'0'.repeat(64)}` },
      aws: { credentials: { source: 'instanceProfile' } },
    },
  },
  {
    name: 'all optional features off',
    values: {
      fence: { enabled: false },
      certificates: { managed: { controller: { serviceAccount: { create: false, name: 'existing-too' } } } },
      flowSchema: { enabled: false },
      podDisruptionBudget: { enabled: false },
      rbac: { create: false },
      serviceAccount: { create: false, name: 'existing' },
      topologySpreadConstraints: [],
      nodeSelector: null,
      webhook: { url: 'https://192.0.2.1:8443/mutate' },
    },
  },
];

/** The minor version in `1.37.2`. */
export function getMinorVersion(version: string): number {
  return Number(/^v?1\.(\d+)/.exec(version)?.[1]);
}

/** The first minor version of Kubernetes with MutatingAdmissionPolicy. */
export const firstMinorWithPolicy = 36;

/** The flags `--api-versions` with which `helm template` renders what `helm install` does on a cluster of this version. */
export function getApiVersions(kubeVersion: string): string[] {
  return getMinorVersion(kubeVersion) >= firstMinorWithPolicy
    ? ['v1/Pod', 'admissionregistration.k8s.io/v1/MutatingAdmissionPolicy']
    : ['v1/Pod'];
}
