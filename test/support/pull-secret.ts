// Reads and parses the pull Secrets that the program stored.
import { hostsAnnotation } from '../../src/labels.ts';
import type { TestApiServer } from './test-api-server.ts';

/** The parsed parts of a stored pull Secret. */
export interface StoredPullSecret {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly type: string;
  readonly labels: Record<string, string>;
  /** Host → its entry in `auths`. */
  readonly auths: Record<string, { auth?: string }>;
  /** Host → lifetime of its token in the annotation; null if the token is missing. */
  readonly hosts: Record<string, { issuedAt: string; expiresAt: string } | null>;
  /** Host without a token → when it was requested. */
  readonly requestedAt: Record<string, string>;
}

interface SecretBody {
  readonly metadata: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly type: string;
  readonly data?: Record<string, string>;
}

/** Where the Secrets of a namespace are created. */
export const secretsPath = (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`;

export const secretPath = (namespace: string) => `${secretsPath(namespace)}/ecr-pull-secrets`;

/** Reads the pull Secret of a namespace; undefined if there is none. */
export async function readPullSecret(
  apiServer: TestApiServer,
  namespace: string,
): Promise<StoredPullSecret | undefined> {
  const { status, body } = await apiServer.request('GET', secretPath(namespace));
  if (status === 404) {
    return undefined;
  }
  const { metadata, type, data = {} } = body as SecretBody;
  const json = Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString();
  const entries = Object.entries<Record<string, string> | null>(
    JSON.parse(metadata.annotations?.[hostsAnnotation] ?? '{}'),
  );
  return {
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    type,
    labels: metadata.labels ?? {},
    auths: JSON.parse(json || '{}').auths ?? {},
    hosts: Object.fromEntries(
      entries.map(([host, entry]) => {
        const { issuedAt, expiresAt, ...rest } = entry ?? {};
        return [host, issuedAt && expiresAt ? { issuedAt, expiresAt, ...rest } : null];
      }),
    ),
    requestedAt: Object.fromEntries(
      entries.flatMap(([host, entry]) => (entry?.['requestedAt'] ? [[host, entry['requestedAt']]] : [])),
    ),
  };
}
