// Setups in which the API server cannot call the webhook, or does not.
import { issueTestCa } from '../certificates/test-certificates.ts';
import type { BrokenSetup } from './broken-setup.ts';
import { apiServerAddress, send } from './simulated-workloads.ts';

const configuration =
  '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets';

export const brokenWebhookSetups: readonly BrokenSetup[] = [
  {
    name: 'webhook down',
    broken: 'All replicas of the program crash',
    command: ['doctor'],
    from: 'outside',
    check: 'webhook-endpoints',
    summary: 'Service …/ecr-pull-secrets has no ready endpoints (2 are not ready)',
    break: async ({ gateway, replicas }) => {
      await replicas.set('crashing');
      await gateway.set('refusing');
      return {
        repair: async () => {
          await gateway.set('open');
          await replicas.set('ready');
        },
      };
    },
  },
  {
    name: 'Service without endpoints',
    broken: 'The selector of the Service was changed, so that it selects no pod of the program',
    command: ['doctor'],
    from: 'outside',
    check: 'webhook-endpoints',
    summary:
      'Service …/ecr-pull-secrets has no ready endpoints, although Deployment ecr-pull-secrets has 2 ready pods',
    break: async ({ gateway, replicas }) => {
      await replicas.setSelected(false);
      await gateway.set('refusing');
      return {
        repair: async () => {
          await gateway.set('open');
          await replicas.setSelected(true);
        },
      };
    },
  },
  {
    name: 'wrong caBundle',
    broken: 'The caBundle of the webhook configuration is that of another CA',
    command: ['doctor'],
    from: 'outside',
    check: 'webhook-ca-bundle',
    summary:
      'the caBundle of the webhook configuration does not trust the certificate in Secret …/own (issuer CN=company CA)',
    break: async ({ cluster }) => {
      const { body } = await cluster.request('GET', configuration);
      const { webhooks } = Object(body);
      const { certPem } = await issueTestCa(Date.now());
      const changed = webhooks.map((webhook: object) => ({
        ...webhook,
        clientConfig: { ...Object(webhook).clientConfig, caBundle: btoa(certPem) },
      }));
      await send(cluster, 'PATCH', configuration, { webhooks: changed });
      return { repair: () => send(cluster, 'PATCH', configuration, { webhooks }) };
    },
  },
  {
    name: 'expired certificate',
    broken: 'The serving certificate has expired',
    command: ['doctor'],
    from: 'outside',
    check: 'webhook-certificate',
    summary: 'the certificate in Secret …/own expired on …',
    break: async ({ serve, gateway }) => {
      await serve('expired');
      await gateway.set('open'); // the API server has to connect anew
      return {
        repair: async () => {
          await serve('valid');
          await gateway.set('open');
        },
      };
    },
  },
  {
    name: 'wrong NetworkPolicy',
    broken: 'A NetworkPolicy names other addresses than those of the API server',
    command: ['doctor'],
    from: 'outside',
    check: 'webhook-network-policy',
    summary: `NetworkPolicy webhook restricts who connects to the webhook, and does not name the API server (${apiServerAddress})`,
    consequences: ['webhook-dry-run'],
    break: async ({ cluster, gateway, release }) => {
      const policies = `/apis/networking.k8s.io/v1/namespaces/${release.namespace}/networkpolicies`;
      await send(cluster, 'POST', policies, {
        metadata: { name: 'webhook' },
        spec: {
          podSelector: { matchLabels: { 'app.kubernetes.io/component': 'webhook' } },
          policyTypes: ['Ingress'],
          ingress: [{ ports: [{ port: 8443 }], from: [{ ipBlock: { cidr: '10.99.0.0/28' } }] }],
        },
      });
      await gateway.set('silent');
      return {
        repair: async () => {
          await gateway.set('open');
          await send(cluster, 'DELETE', `${policies}/webhook`);
        },
      };
    },
  },
];
