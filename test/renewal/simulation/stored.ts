import { items } from '../../../src/util/json.ts';
import type { Request } from '../../cluster/request.ts';

/** A pull Secret as it is stored, read without any of the product's own code. */
export interface Stored {
  readonly namespace: string;
  readonly uid: string;
  readonly version: string;
  /** What the annotation names. */
  readonly hosts: ReadonlySet<string>;
  /** Host → the password in its entry of `auths`. */
  readonly passwords: ReadonlyMap<string, string>;
}

interface SecretBody {
  readonly metadata: {
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations?: Record<string, string>;
  };
  readonly data?: Record<string, string>;
}

const secretName = 'ecr-pull-secrets';

/** All pull Secrets of the cluster. */
export const allSecretsPath = '/api/v1/secrets';
export const allSecretsQuery = { fieldSelector: `metadata.name=${secretName}` };

export function secretPath(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/secrets/${secretName}`;
}

export function storedSecret(object: unknown): Stored {
  const { metadata, data = {} } = object as SecretBody;
  const { namespace, uid, resourceVersion: version, annotations = {} } = metadata;
  const named = JSON.parse(annotations['ecr-pull-secrets.io/hosts'] || '{}');
  const json = Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString();
  const auths: Record<string, { auth?: string }> = JSON.parse(json || '{}').auths ?? {};
  const passwords = Object.entries(auths).map(([host, { auth = '' }]): [string, string] => [
    host,
    atob(auth).replace(/^AWS:/, ''),
  ]);
  return { namespace, uid, version, hosts: new Set(Object.keys(named)), passwords: new Map(passwords) };
}

/** The truth: all pull Secrets by namespace, in one call as the administrator. */
export async function listStored(request: Request): Promise<Map<string, Stored>> {
  const query = new URLSearchParams(allSecretsQuery);
  const { status, body } = await request('GET', `${allSecretsPath}?${query}`);
  if (status !== 200) {
    throw new Error(`list of Secrets: ${status}`);
  }
  const secrets = items(Reflect.get(Object(body), 'items')).map(storedSecret);
  return new Map(secrets.map((secret) => [secret.namespace, secret]));
}
