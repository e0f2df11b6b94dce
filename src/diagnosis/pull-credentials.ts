// Reads the credentials for a host from a pull Secret, for a request to that host only.
import type { ClusterConfig } from '../kube/client.ts';
import { readObject } from '../kube/objects.ts';
import { pickStrings } from '../kube/resource.ts';
import { parseDockerConfig } from '../pull-secrets/docker-config.ts';
import { dockerConfigKey } from '../pull-secrets/ownership.ts';
import { getField, parseJsonOrUndefined } from '../util/json.ts';
import { type Gap, readOptional } from './read-gaps.ts';

/** The credentials that the kubelet finds in one Secret. They are private, so that nothing shows them by accident. */
export class PullCredentials {
  readonly #entries: ReadonlyMap<string, string>;
  /** Parts that make the kubelet refuse the whole Secret. */
  readonly malformed: readonly string[];

  constructor(dockerConfigJson: string | undefined) {
    const { auths, anonymous, malformed } = parseDockerConfig(dockerConfigJson);
    this.#entries = new Map([...auths].filter(([host]) => !anonymous.has(host)));
    this.malformed = malformed.map(({ path, problem }) => `${path} ${problem}`);
  }

  /** Returns base64 of `USER:PASSWORD` for a host; undefined if there is no entry with exactly this name. */
  auth(host: string): string | undefined {
    const entry = parseJsonOrUndefined(this.#entries.get(host) ?? '');
    const auth = getField(entry, 'auth');
    if (typeof auth === 'string' && auth !== '') {
      return auth.replace(/[\r\n]/g, '');
    }
    const [username, password] = [getField(entry, 'username'), getField(entry, 'password')];
    return typeof username === 'string' && typeof password === 'string'
      ? Buffer.from(`${username}:${password}`).toString('base64')
      : undefined;
  }
}

/** The name of a Secret. */
interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

/**
 * @param gaps receives why the Secret could not be read
 * @returns undefined if it could not be read, or does not exist
 */
export async function readPullCredentials(
  cluster: ClusterConfig,
  { namespace, name }: SecretName,
  gaps: Gap[],
  signal: AbortSignal,
): Promise<PullCredentials | undefined> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(name)}`;
  const secret = await readOptional(`get secrets named ${name}`, gaps, () =>
    readObject(cluster, { path, noun: `Secret ${namespace}/${name}` }, signal),
  );
  const encoded = pickStrings(getField(secret, 'data'))[dockerConfigKey];
  return secret === undefined
    ? undefined
    : new PullCredentials(encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString());
}
