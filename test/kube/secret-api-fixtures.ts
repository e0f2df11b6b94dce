// Client configurations, pull Secrets and assertions that the suites of the Secret API share.
import assert from 'node:assert/strict';
import { type ClusterConfig, loadKubeConfig } from '../../src/kube/client.ts';
import type { KubeErrorCode } from '../../src/kube/errors.ts';
import { KubeError } from '../../src/kube/errors.ts';
import type { SecretObject } from '../../src/kube/secrets.ts';
import type { Cluster } from '../cluster/cluster.ts';

/** The parts of an API server that the shared suites use. */
export type TestApi = Pick<
  Cluster,
  'kubeconfigPath' | 'request' | 'createNamespace' | 'serviceAccountKubeconfig'
>;

/** The name of the Secrets in these suites. */
export const secretName = 'pull-secret';

/** Creates a client configuration with limits for tests. */
export function createConfig(kubeconfigPath: string, requestTimeoutMs = 5_000): ClusterConfig {
  return loadKubeConfig({ kubeconfigPath, requestTimeoutMs, userAgent: 'kube-test/1' });
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Builds a pull Secret with one host, and the password as a label too. */
export function buildPullSecret(
  namespace: string,
  password: string,
  metadata: Partial<SecretObject['metadata']> = {},
): SecretObject {
  const config = JSON.stringify({ auths: { 'registry.example': { auth: base64(`AWS:${password}`) } } });
  return {
    metadata: { namespace, name: secretName, labels: { password }, ...metadata },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': base64(config) },
  };
}

/** For assert.rejects: a KubeError of this code. */
export function hasErrorCode(code: KubeErrorCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof KubeError, `no KubeError: ${String(error)}`);
    assert.equal(error.code, code, error.message);
    return true;
  };
}

/** A value within parsed JSON. */
export function getValueAt(value: unknown, ...keys: string[]): unknown {
  let here = value;
  for (const key of keys) {
    here = typeof here === 'object' && here !== null ? Reflect.get(here, key) : undefined;
  }
  return here;
}
