// The objects of the API stand-in, as in etcd.
import { randomUUID } from 'node:crypto';
import { alreadyExists, conflict, modifiedMessage, notFound, type Resource } from './api-status-error.ts';
import type { KubeObject } from './kube-object.ts';

/** A stored change, in the words of a watch. */
export interface Change {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  resource: Resource;
  object: KubeObject;
  /** What was there before a MODIFIED. */
  before?: KubeObject;
  version: number;
}

const keyOf = (namespace: string | undefined, name: string): string => `${namespace ?? ''}/${name}`;

/** What the API server keeps in etcd: objects, one revision for all, and the changes since the last compaction. */
export class Store {
  readonly #objects = new Map<Resource, Map<string, KubeObject>>();
  readonly #listeners = new Set<(change: Change) => void>();
  #history: Change[] = [];
  #version = 1;
  #compacted = 0;

  /** The revision of the last change: the resourceVersion of a list. */
  get version(): number {
    return this.#version;
  }

  /** Changes up to this one can no longer be had. */
  get compacted(): number {
    return this.#compacted;
  }

  get(resource: Resource, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects.get(resource)?.get(keyOf(namespace, name));
  }

  /** As {@link get}, or 404. */
  mustGet(resource: Resource, namespace: string | undefined, name: string): KubeObject {
    const object = this.get(resource, namespace, name);
    if (object === undefined) {
      throw notFound(resource, name);
    }
    return object;
  }

  /** All objects of a kind, of one namespace or of all, in the order of their keys. */
  list(resource: Resource, namespace?: string): KubeObject[] {
    const objects = [...(this.#objects.get(resource)?.entries() ?? [])];
    const wanted =
      namespace === undefined ? objects : objects.filter(([key]) => key.startsWith(`${namespace}/`));
    return wanted.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  /** Stores a new object with a uid, a creation time and a version. 409 where the name is taken. */
  create(resource: Resource, object: KubeObject): KubeObject {
    const { namespace, name } = object.metadata;
    if (this.get(resource, namespace, name) !== undefined) {
      throw alreadyExists(resource, name);
    }
    const creationTimestamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const metadata = { ...object.metadata, uid: randomUUID(), creationTimestamp };
    return this.#put('ADDED', resource, { ...object, metadata });
  }

  /** Stores a changed object. 409 where it was changed since `base` was read. */
  update(resource: Resource, base: KubeObject, object: KubeObject): KubeObject {
    const { namespace, name } = base.metadata;
    const live = this.mustGet(resource, namespace, name);
    if (live.metadata.resourceVersion !== base.metadata.resourceVersion) {
      throw conflict(resource, name, modifiedMessage);
    }
    return this.#put('MODIFIED', resource, object, live);
  }

  delete(resource: Resource, object: KubeObject): void {
    const { namespace, name } = object.metadata;
    this.#objects.get(resource)?.delete(keyOf(namespace, name));
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    this.#record({ type: 'DELETED', resource, object: { ...object, metadata }, version: this.#version });
  }

  /** The kept changes after a version. */
  since(version: number): Change[] {
    return this.#history.filter((change) => change.version > version);
  }

  /** Forgets the changes so far, as etcd's compaction does. */
  compact(): void {
    this.#history = [];
    this.#compacted = this.#version;
  }

  /** Comes back from an older backup, as it were: versions count on from this one. */
  rewind(version: number): void {
    this.#history = [];
    this.#compacted = 0;
    this.#version = version;
  }

  /** Calls the listener for each change from now on. Returns a function that stops it. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #put(type: 'ADDED' | 'MODIFIED', resource: Resource, object: KubeObject, before?: KubeObject): KubeObject {
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    const stored = { ...object, metadata };
    const { namespace, name } = metadata;
    const ofKind = this.#objects.get(resource) ?? new Map<string, KubeObject>();
    this.#objects.set(resource, ofKind.set(keyOf(namespace, name), stored));
    this.#record({
      type,
      resource,
      object: stored,
      ...(before !== undefined && { before }),
      version: this.#version,
    });
    return stored;
  }

  #record(change: Change): void {
    this.#history.push(change);
    for (const listener of this.#listeners) {
      listener(change);
    }
  }
}
