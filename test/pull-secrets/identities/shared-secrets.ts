// The pull Secrets that two replicas share, in memory, with the conflicts of the API server.
import { KubeError } from '../../../src/kube/errors.ts';
import type { SecretObject } from '../../../src/kube/secrets.ts';
import { hostsAnnotation, productName } from '../../../src/labels.ts';
import { dockerConfigKey, type SecretManifest } from '../../../src/pull-secrets/ownership.ts';
import type { SecretStore } from '../../../src/pull-secrets/secret-store.ts';
import type { PendingCalls } from './pending-calls.ts';

const secretName = 'ecr-pull-secrets';

/** A host as a Secret holds it, parsed without the product's own code. */
export interface HeldHost {
  /** The identity in the annotation; undefined: the process's own. */
  readonly identity: string | undefined;
  /** The password of the entry; undefined: there is none. */
  readonly password: string | undefined;
}

/** Called when a replica decides to write, with the hosts before and after, and before the write is in flight. */
type OnWrite = (
  namespace: string,
  before: ReadonlyMap<string, HeldHost>,
  after: ReadonlyMap<string, HeldHost>,
) => void;

export class SharedSecrets {
  readonly #calls: PendingCalls;
  readonly #onStored: (secret: SecretObject) => void;
  readonly #secrets = new Map<string, SecretObject>();
  #version = 0;

  /** @param onStored called with each stored version, as a watch would */
  constructor(calls: PendingCalls, onStored: (secret: SecretObject) => void) {
    this.#calls = calls;
    this.#onStored = onStored;
  }

  hosts(namespace: string): ReadonlyMap<string, HeldHost> {
    return parseHeldHosts(this.#secrets.get(namespace));
  }

  /** The store of one replica. */
  createStore(onWrite: OnWrite): SecretStore {
    return {
      name: secretName,
      read: async (namespace) => {
        await this.#calls.wait();
        return this.#secrets.get(namespace);
      },
      create: async (namespace, manifest) => {
        onWrite(namespace, new Map(), parseHeldHosts(manifest));
        return await this.#write(namespace, undefined, manifest);
      },
      update: async (read, manifest) => {
        const { namespace, resourceVersion } = read.metadata;
        onWrite(namespace, parseHeldHosts(read), parseHeldHosts(manifest));
        return await this.#write(namespace, resourceVersion, manifest);
      },
    };
  }

  async #write(
    namespace: string,
    basedOn: string | undefined,
    { type, labels, annotations, data }: SecretManifest,
  ): Promise<SecretObject> {
    await this.#calls.wait();
    if (this.#secrets.get(namespace)?.metadata.resourceVersion !== basedOn) {
      throw new KubeError({ code: 'conflict', operation: `apply Secret ${namespace}/${secretName}` });
    }
    this.#version += 1;
    const identity = { namespace, name: secretName, uid: `uid-${namespace}` };
    const stored: SecretObject = {
      metadata: { ...identity, resourceVersion: String(this.#version), labels, annotations },
      fieldOwners: [{ manager: productName, data: [dockerConfigKey], annotations: [hostsAnnotation] }],
      ...{ type, data },
    };
    this.#secrets.set(namespace, stored);
    this.#onStored(stored);
    return stored;
  }
}

function parseHeldHosts(secret: Partial<SecretObject & SecretManifest> | undefined): Map<string, HeldHost> {
  const annotations = secret?.annotations ?? secret?.metadata?.annotations;
  const named: Record<string, { identity?: string } | null> = JSON.parse(
    annotations?.[hostsAnnotation] ?? '{}',
  );
  const json = Buffer.from(secret?.data?.[dockerConfigKey] ?? '', 'base64').toString() || '{"auths":{}}';
  const { auths }: { auths: Record<string, { auth: string }> } = JSON.parse(json);
  const passwordOf = (host: string) => {
    const entry = auths[host];
    return entry && atob(entry.auth).replace(/^AWS:/, '');
  };
  return new Map(
    [...new Set([...Object.keys(named), ...Object.keys(auths)])].map((host) => [
      host,
      { identity: named[host]?.identity, password: passwordOf(host) },
    ]),
  );
}
