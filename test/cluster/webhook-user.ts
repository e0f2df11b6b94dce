// The client certificate of an API server for webhooks.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The client certificate that an API server presents to admission webhooks. */
export interface WebhookUser {
  /** The webhooks that the certificate is for: `SERVICE.NAMESPACE.svc` for port 443, otherwise `HOST:PORT`. */
  readonly name: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/**
 * Writes the file for `--admission-control-config-file`, as in docs/how-to/client-certificates.md.
 * @returns the path of the file
 */
export async function writeAdmissionConfiguration(folder: string, user: WebhookUser): Promise<string> {
  const kubeConfigFile = join(folder, 'webhooks.kubeconfig');
  const credentials = {
    'client-certificate-data': Buffer.from(user.certPem).toString('base64'),
    'client-key-data': Buffer.from(user.keyPem).toString('base64'),
  };
  const kubeconfig = { apiVersion: 'v1', kind: 'Config', users: [{ name: user.name, user: credentials }] };
  await writeFile(kubeConfigFile, JSON.stringify(kubeconfig), { mode: 0o600 });
  const path = join(folder, 'admission.yaml');
  await writeFile(
    path,
    JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'AdmissionConfiguration',
      plugins: ['MutatingAdmissionWebhook'].map((name) => ({
        name,
        configuration: {
          apiVersion: 'apiserver.config.k8s.io/v1',
          kind: 'WebhookAdmissionConfiguration',
          kubeConfigFile,
        },
      })),
    }),
  );
  return path;
}
