// Writes kubeconfig files for administrators and ServiceAccounts of test clusters.
import { writeFile } from 'node:fs/promises';

/** A kubeconfig (v1) with one cluster and one user, who has a token. */
export type Kubeconfig = ReturnType<typeof buildKubeconfig>;

/** @param server its URL and its CA as PEM */
export function buildKubeconfig(
  server: { url: string; caPem: string | undefined },
  user: string,
  token: string,
) {
  const trust =
    server.caPem === undefined
      ? { 'insecure-skip-tls-verify': true }
      : { 'certificate-authority-data': Buffer.from(server.caPem).toString('base64') };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: server.url, ...trust } }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user } }],
    'current-context': 'test',
  };
}

/** Writes a kubeconfig that only this user can read. It is JSON, which is valid YAML. */
export async function writeKubeconfig(path: string, kubeconfig: Kubeconfig): Promise<string> {
  await writeFile(path, JSON.stringify(kubeconfig, undefined, 2), { mode: 0o600 });
  return path;
}
