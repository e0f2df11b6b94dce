// Setups in which the program cannot store the pull Secret of a namespace.
import { startScriptedWebhook } from '../doubles/scripted-webhook.ts';
import { eventually } from '../support/eventually.ts';
import { secretPath, secretsPath } from '../support/pull-secret.ts';
import { createSecretQuota, registerRefusingWebhook } from '../support/secret-refusers.ts';
import type { Broken, BrokenSetup } from './broken-setup.ts';
import type { HealthyInstallation } from './healthy-installation.ts';
import { send } from './simulated-workloads.ts';
import { createStuckNamespace } from './stuck-pods.ts';

/** Stores a Secret of the program's name, as another tool or a user did. */
function storeSecret(name: string, secret: object) {
  return (installation: HealthyInstallation): Promise<Broken> =>
    createStuckNamespace(installation, name, async () => {
      const { cluster } = installation;
      await send(cluster, 'POST', secretsPath(name), secret);
      return () => send(cluster, 'DELETE', secretPath(name));
    });
}

const metadata = { name: 'ecr-pull-secrets' };
const managedBy = { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' };
const otherContent = btoa(
  JSON.stringify({ auths: { 'registry.example.com': { auth: btoa('user:password') } } }),
);

export const brokenSecretSetups: readonly BrokenSetup[] = [
  {
    name: 'quota',
    broken: 'A ResourceQuota allows no further Secret in the namespace',
    command: ['doctor'],
    from: 'inside',
    check: 'secret-writable',
    consequences: ['pods-waiting'],
    summary: 'Secret crowded/ecr-pull-secrets cannot be written: exceeded quota "few"',
    break: (installation) =>
      createStuckNamespace(installation, 'crowded', async () => {
        await createSecretQuota(installation.cluster, 'crowded', 'few');
        return () => send(installation.cluster, 'DELETE', '/api/v1/namespaces/crowded/resourcequotas/few');
      }),
  },
  {
    name: 'a policy engine that refuses',
    broken: 'The webhook of a policy engine refuses the Secret',
    command: ['doctor'],
    from: 'inside',
    check: 'secret-writable',
    consequences: ['pods-waiting'],
    summary:
      'Secret governed/ecr-pull-secrets cannot be written: denied by webhook "validate.kyverno.svc-fail"',
    break: (installation) =>
      createStuckNamespace(installation, 'governed', async () => {
        const { cluster } = installation;
        const webhook = await startScriptedWebhook();
        webhook.script = () => ({ allowed: false, status: { message: 'every Secret needs an owner' } });
        await registerRefusingWebhook(
          cluster,
          'Validating',
          'validate.kyverno.svc-fail',
          'governed',
          webhook,
        );
        await eventually('the webhook is called', async () => {
          const path = `${secretsPath('governed')}?dryRun=All`;
          const { status } = await cluster.request('POST', path, { metadata: { name: 'probe' } });
          return status >= 400;
        });
        return async () => {
          const group = '/apis/admissionregistration.k8s.io/v1';
          await send(cluster, 'DELETE', `${group}/validatingwebhookconfigurations/governed-validating`);
          webhook.stop();
        };
      }),
  },
  {
    name: 'unmanaged Secret',
    broken: 'A Secret of the same name exists that the program does not manage',
    command: ['doctor'],
    from: 'inside',
    check: 'secret-unmanaged',
    consequences: ['pods-waiting'],
    summary:
      'Secret legacy/ecr-pull-secrets exists, but the program does not manage it: it has no label app.kubernetes.io/managed-by=ecr-pull-secrets',
    break: storeSecret('legacy', {
      metadata,
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': otherContent },
    }),
  },
  {
    name: 'Secret of the wrong type',
    broken: 'The Secret has the type Opaque, which the kubelet does not use for pulls',
    command: ['doctor'],
    from: 'inside',
    check: 'secret-type',
    consequences: ['pods-waiting'],
    summary: 'Secret opaque/ecr-pull-secrets is not of type kubernetes.io/dockerconfigjson',
    break: storeSecret('opaque', {
      metadata: { ...metadata, labels: managedBy },
      type: 'Opaque',
      data: { '.dockerconfigjson': otherContent },
    }),
  },
  {
    name: 'edited Secret',
    broken: 'A user replaced the content of the Secret and made it immutable',
    command: ['doctor'],
    from: 'inside',
    check: 'secret-writable',
    consequences: ['pods-waiting'],
    summary: 'Secret edited/ecr-pull-secrets cannot be written: Secret is immutable; delete it',
    break: async (installation) => {
      const { cluster } = installation;
      const { repair } = await createStuckNamespace(installation, 'edited');
      const path = secretPath('edited');
      await eventually('the content is replaced', async () => {
        const { status, body } = await cluster.request('GET', path);
        const data = { '.dockerconfigjson': otherContent };
        const edited = { ...Object(body), data, immutable: true };
        return (
          status === 200 &&
          (await cluster.request('PUT', `${path}?fieldManager=kubectl-edit`, edited)).status === 200
        );
      });
      return {
        repair: async () => {
          await repair();
          await send(cluster, 'DELETE', path);
        },
      };
    },
  },
];
