import type { Namespace } from '../kube/namespaces.ts';
import type { Sink } from '../kube/resource.ts';
import { compareResourceVersions } from '../kube/resource-version.ts';
import type { SecretMetadataSink } from '../kube/secret-metadata.ts';
import type { ServiceAccount } from '../kube/service-accounts.ts';
import type { Seen } from './provisioning-plan.ts';

/** Namespaces and ServiceAccounts as they were seen last: by watches, and by our own changes at once. */
export class World {
  readonly #namespaces = new Map<string, Namespace>();
  /** Namespace → name → ServiceAccount. */
  readonly #accounts = new Map<string, Map<string, ServiceAccount>>();
  readonly #changed: (namespace: string) => void;

  /** @param changed called with each namespace in which something is other than before */
  constructor(changed: (namespace: string) => void) {
    this.#changed = changed;
  }

  seen(name: string): Omit<Seen, 'secret'> {
    const accounts = [...(this.#accounts.get(name)?.values() ?? [])];
    return { name, namespace: this.#namespaces.get(name), accounts };
  }

  names(): Set<string> {
    return new Set([...this.#namespaces.keys(), ...this.#accounts.keys()]);
  }

  namespaces(): Sink<Namespace> {
    return {
      replace: (items) => {
        const before = [...this.#namespaces.keys()];
        this.#namespaces.clear();
        for (const item of items) this.#namespaces.set(item.name, item);
        for (const name of new Set([...before, ...this.#namespaces.keys()])) this.#changed(name);
      },
      set: (item) => {
        this.#namespaces.set(item.name, item);
        this.#changed(item.name);
      },
      remove: ({ name }) => this.#forgetNamespace(name),
      reject: ({ name }) => this.#forgetNamespace(name),
    };
  }

  /** For a watch of the ServiceAccounts of one name, or of all. */
  accounts(name: string | undefined): Sink<ServiceAccount> {
    return {
      replace: (items) => {
        const listed = new Set(items.map((item) => `${item.namespace}/${item.name}`));
        for (const account of this.#all()) {
          const covered = name === undefined || account.name === name;
          if (covered && !listed.has(`${account.namespace}/${account.name}`)) {
            this.forget(account.namespace, account.name);
          }
        }
        for (const item of items) this.learn(item);
      },
      set: (item) => this.learn(item),
      remove: (object) => this.forget(object.namespace, object.name),
      reject: (object) => this.forget(object.namespace, object.name),
    };
  }

  /** Takes a ServiceAccount as it was read or stored, unless a later version of it is known. */
  learn(account: ServiceAccount): void {
    const { namespace, name, resourceVersion } = account;
    const ofNamespace = this.#accounts.get(namespace) ?? new Map<string, ServiceAccount>();
    if (compareResourceVersions(resourceVersion, ofNamespace.get(name)?.resourceVersion) === -1) {
      return;
    }
    this.#accounts.set(namespace, ofNamespace.set(name, account));
    this.#changed(namespace);
  }

  forget(namespace: string, name: string): void {
    const ofNamespace = this.#accounts.get(namespace);
    ofNamespace?.delete(name);
    if (ofNamespace?.size === 0) {
      this.#accounts.delete(namespace);
    }
    this.#changed(namespace);
  }

  /** The namespace takes nothing new any more, though the watch has not said so yet. */
  endNamespace(name: string): void {
    this.#namespaces.set(name, { name, terminating: true });
  }

  #forgetNamespace(name: string): void {
    this.#namespaces.delete(name);
    this.#changed(name);
  }

  #all(): ServiceAccount[] {
    return [...this.#accounts.values()].flatMap((ofNamespace) => [...ofNamespace.values()]);
  }
}

/**
 * A sink that passes on what the watch of Secrets reports, and then tells of which namespace it was; of a list, none.
 */
export function told(sink: SecretMetadataSink, changed: (namespace?: string) => void): SecretMetadataSink {
  return {
    replace: (items) => {
      sink.replace(items);
      changed();
    },
    set: (item) => {
      sink.set(item);
      changed(item.namespace);
    },
    remove: (namespace, resourceVersion) => {
      sink.remove(namespace, resourceVersion);
      changed(namespace);
    },
    reject: (object) => {
      sink.reject?.(object);
      changed(object.namespace);
    },
  };
}
