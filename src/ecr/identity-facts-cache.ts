// Keeps what watches report about namespaces and ServiceAccounts, for the rules of identities.
import { LRUCache } from 'lru-cache';
import type { Labels } from '../util/label-selector.ts';
import { waitAtMost } from '../util/timeout.ts';
import {
  findRoleAnnotation,
  type IdentityFacts,
  type RoleAnnotation,
  type ServiceAccountFact,
} from './identity-facts.ts';

/** A namespace with the labels that rules select by. */
export interface LabelledNamespace {
  readonly name: string;
  readonly labels: Labels;
}

/** A ServiceAccount with the annotations that can name a role. */
export interface AnnotatedServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Max namespaces whose last change is kept; a change matters for minutes. Namespaces that are deleted are not always seen. */
const maxChangeTimes = 20_000;

/** The facts as the watches last showed them. They stay while a watch is interrupted. */
export class IdentityFactsCache implements IdentityFacts {
  readonly #labels = new Map<string, Labels>();
  /** Name of the ServiceAccount → namespace → role; a name is a key once all ServiceAccounts of the name were listed. */
  readonly #roles = new Map<string, Map<string, RoleAnnotation | undefined>>();
  readonly #changedAt = new LRUCache<string, number>({ max: maxChangeTimes });
  readonly #now: () => number;
  readonly #onChange: (namespace?: string) => void;
  /** Namespace → what resolves with its next change. */
  readonly #nextChanges = new Map<string, PromiseWithResolvers<void>>();
  #changeCount = 0;
  /** Whether a complete list of the namespaces was received. */
  #hasListedNamespaces = false;

  /**
   * @param now the wall clock in ms
   * @param onChange called with the namespace of each change, or without one if every namespace may be concerned
   */
  constructor(now: () => number, onChange: (namespace?: string) => void = () => undefined) {
    this.#now = now;
    this.#onChange = onChange;
  }

  namespaceLabels(namespace: string): Labels | undefined {
    return this.#labels.get(namespace);
  }

  serviceAccount(namespace: string, name: string): ServiceAccountFact {
    const roles = this.#roles.get(name);
    if (roles === undefined) {
      return { state: 'unknown' };
    }
    return roles.has(namespace) ? { state: 'exists', role: roles.get(namespace) } : { state: 'missing' };
  }

  /**
   * When facts of a namespace last changed, in ms since the epoch; undefined: they did not since they were first listed. A
   * namespace that appears later is a change, because one of its name may have been deleted before.
   */
  changedAt(namespace: string): number | undefined {
    return this.#changedAt.peek(namespace); // a lookup does not make a change recent
  }

  /** Waits until a condition on a namespace's facts holds, but for at most `ms`. */
  async waitUntil(namespace: string, isMet: () => boolean, ms: number): Promise<void> {
    let isOver = false;
    const met = async () => {
      while (!isOver && !isMet()) {
        const next = this.#nextChanges.get(namespace) ?? Promise.withResolvers<void>();
        this.#nextChanges.set(namespace, next);
        await next.promise;
      }
    };
    await waitAtMost(ms, met(), () => {
      isOver = true;
      this.#notify(namespace);
    });
  }

  /** Increases with every change, so that callers can detect changes. */
  get changeCount(): number {
    return this.#changeCount;
  }

  setNamespace({ name, labels }: LabelledNamespace): void {
    const known = this.#labels.get(name);
    if (known === undefined || !hasSameEntries(known, labels)) {
      this.#labels.set(name, labels);
      this.#recordChange(name, known !== undefined || this.#hasListedNamespaces);
    }
  }

  removeNamespace(name: string): void {
    this.#labels.delete(name);
    this.#changedAt.delete(name);
  }

  /** Removes the namespaces that a complete list does not contain. */
  replaceNamespaces(listed: readonly LabelledNamespace[]): void {
    const names = new Set(listed.map(({ name }) => name));
    for (const name of this.#labels.keys()) {
      if (!names.has(name)) {
        this.removeNamespace(name);
      }
    }
    for (const namespace of listed) {
      this.setNamespace(namespace);
    }
    this.#hasListedNamespaces = true;
  }

  setServiceAccount({ namespace, name, annotations }: AnnotatedServiceAccount): void {
    const roles = this.#roles.get(name);
    if (roles === undefined) {
      return; // The complete list that follows contains it.
    }
    const role = findRoleAnnotation(annotations);
    if (!roles.has(namespace) || !isSameRole(roles.get(namespace), role)) {
      roles.set(namespace, role);
      this.#recordChange(namespace, true);
    }
  }

  removeServiceAccount(namespace: string, name: string): void {
    if (this.#roles.get(name)?.delete(namespace) === true) {
      this.#recordChange(namespace, true);
    }
  }

  /** Sets all ServiceAccounts of a name from a complete list. */
  replaceServiceAccounts(name: string, listed: readonly AnnotatedServiceAccount[]): void {
    const known = this.#roles.get(name);
    if (known === undefined) {
      this.#roles.set(
        name,
        new Map(listed.map(({ namespace, annotations }) => [namespace, findRoleAnnotation(annotations)])),
      );
      this.#changeCount += 1; // The others are known to be missing now.
      this.#onChange();
      for (const namespace of this.#nextChanges.keys()) {
        this.#notify(namespace);
      }
      return;
    }
    const namespaces = new Set(listed.map(({ namespace }) => namespace));
    for (const namespace of known.keys()) {
      if (!namespaces.has(namespace)) {
        this.removeServiceAccount(namespace, name);
      }
    }
    for (const account of listed) {
      this.setServiceAccount(account);
    }
  }

  #recordChange(namespace: string, isChange: boolean): void {
    this.#changeCount += 1;
    if (isChange) {
      this.#changedAt.set(namespace, this.#now());
    }
    this.#notify(namespace);
    this.#onChange(namespace);
  }

  #notify(namespace: string): void {
    const next = this.#nextChanges.get(namespace);
    this.#nextChanges.delete(namespace);
    next?.resolve();
  }
}

function hasSameEntries(a: Labels, b: Labels): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

function isSameRole(a: RoleAnnotation | undefined, b: RoleAnnotation | undefined): boolean {
  return a?.annotation === b?.annotation && a?.roleArn === b?.roleArn;
}
