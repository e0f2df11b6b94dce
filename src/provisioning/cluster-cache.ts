// Caches Namespaces and ServiceAccounts as watches and the program's own writes last showed them.
import type { Namespace } from '../kube/namespaces.ts';
import type { ResourceEventHandler } from '../kube/resource.ts';
import { compareResourceVersions } from '../kube/resource-version.ts';
import type { SecretEventHandler } from '../kube/secret-metadata.ts';
import type { ServiceAccount } from '../kube/service-accounts.ts';
import type { ObservedNamespace } from './provisioning-plan.ts';

/** The last observed Namespaces and ServiceAccounts. Results of the program's own writes are added at once. */
export class ClusterCache {
  readonly #namespaces = new Map<string, Namespace>();
  /** Namespace → name → ServiceAccount. */
  readonly #serviceAccounts = new Map<string, Map<string, ServiceAccount>>();
  readonly #onChange: (namespace: string) => void;

  /** @param onChange called with each namespace in which something has changed */
  constructor(onChange: (namespace: string) => void) {
    this.#onChange = onChange;
  }

  getObserved(name: string): Omit<ObservedNamespace, 'secret'> {
    const accounts = [...(this.#serviceAccounts.get(name)?.values() ?? [])];
    return { name, namespace: this.#namespaces.get(name), serviceAccounts: accounts };
  }

  namespaceNames(): Set<string> {
    return new Set([...this.#namespaces.keys(), ...this.#serviceAccounts.keys()]);
  }

  createNamespaceHandler(): ResourceEventHandler<Namespace> {
    return {
      replace: (items) => {
        const before = [...this.#namespaces.keys()];
        this.#namespaces.clear();
        for (const item of items) {
          this.#namespaces.set(item.name, item);
        }
        for (const name of new Set([...before, ...this.#namespaces.keys()])) {
          this.#onChange(name);
        }
      },
      set: (item) => {
        this.#namespaces.set(item.name, item);
        this.#onChange(item.name);
      },
      remove: ({ name }) => this.#removeNamespace(name),
      reject: ({ name }) => this.#removeNamespace(name),
    };
  }

  /** @param name the name that the watch selects; undefined: the watch covers all ServiceAccounts */
  createServiceAccountHandler(name: string | undefined): ResourceEventHandler<ServiceAccount> {
    return {
      replace: (items) => {
        const listed = new Set(items.map((item) => `${item.namespace}/${item.name}`));
        for (const account of this.#allServiceAccounts()) {
          const covered = name === undefined || account.name === name;
          if (covered && !listed.has(`${account.namespace}/${account.name}`)) {
            this.removeServiceAccount(account.namespace, account.name);
          }
        }
        for (const item of items) {
          this.setServiceAccount(item);
        }
      },
      set: (item) => this.setServiceAccount(item),
      remove: (object) => this.removeServiceAccount(object.namespace, object.name),
      reject: (object) => this.removeServiceAccount(object.namespace, object.name),
    };
  }

  /** Stores a ServiceAccount, unless the cache has a later version of it. */
  setServiceAccount(account: ServiceAccount): void {
    const { namespace, name, resourceVersion } = account;
    const ofNamespace = this.#serviceAccounts.get(namespace) ?? new Map<string, ServiceAccount>();
    if (compareResourceVersions(resourceVersion, ofNamespace.get(name)?.resourceVersion) === -1) {
      return;
    }
    this.#serviceAccounts.set(namespace, ofNamespace.set(name, account));
    this.#onChange(namespace);
  }

  removeServiceAccount(namespace: string, name: string): void {
    const ofNamespace = this.#serviceAccounts.get(namespace);
    ofNamespace?.delete(name);
    if (ofNamespace?.size === 0) {
      this.#serviceAccounts.delete(namespace);
    }
    this.#onChange(namespace);
  }

  /** Marks a namespace as terminating before the watch reports it. */
  markTerminating(name: string): void {
    this.#namespaces.set(name, { name, isTerminating: true, labels: {} });
  }

  #removeNamespace(name: string): void {
    this.#namespaces.delete(name);
    this.#onChange(name);
  }

  #allServiceAccounts(): ServiceAccount[] {
    return [...this.#serviceAccounts.values()].flatMap((ofNamespace) => [...ofNamespace.values()]);
  }
}

/** Wraps an event handler and calls `onChange` with the namespace of each event, or without a namespace after a relist. */
export function notifyOnChange(
  handler: SecretEventHandler,
  onChange: (namespace?: string) => void,
): SecretEventHandler {
  return {
    replace: (items) => {
      handler.replace(items);
      onChange();
    },
    set: (item) => {
      handler.set(item);
      onChange(item.namespace);
    },
    remove: (namespace, resourceVersion) => {
      handler.remove(namespace, resourceVersion);
      onChange(namespace);
    },
    reject: (object) => {
      handler.reject?.(object);
      onChange(object.namespace);
    },
  };
}
