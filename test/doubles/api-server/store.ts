// The storage of the API stand-in, in place of etcd: objects, versions, and the history of changes.
import { randomUUID } from 'node:crypto';
import {
  createAlreadyExists,
  createConflict,
  createNotFound,
  modifiedMessage,
  type Resource,
} from './api-status-error.ts';
import type { KubeObject } from './kube-object.ts';

/** A change in the form of a watch event. */
export interface Change {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  resource: Resource;
  object: KubeObject;
  /** The previous object of a MODIFIED. */
  before?: KubeObject;
  version: number;
}

const getKey = (namespace: string | undefined, name: string): string => `${namespace ?? ''}/${name}`;

/** The content of etcd: objects, a revision, and the changes since the last compaction. */
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

  /** Changes up to this version are no longer available. */
  get compacted(): number {
    return this.#compacted;
  }

  get(resource: Resource, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects.get(resource)?.get(getKey(namespace, name));
  }

  /** Like {@link get}. @throws {StatusError} 404 if the object does not exist */
  mustGet(resource: Resource, namespace: string | undefined, name: string): KubeObject {
    const object = this.get(resource, namespace, name);
    if (object === undefined) {
      throw createNotFound(resource, name);
    }
    return object;
  }

  /** Returns all objects of a kind, in one namespace or in all, sorted by key. */
  list(resource: Resource, namespace?: string): KubeObject[] {
    const objects = [...(this.#objects.get(resource)?.entries() ?? [])];
    const matching =
      namespace === undefined ? objects : objects.filter(([key]) => key.startsWith(`${namespace}/`));
    return matching.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  /** Stores a new object with a uid, a creation time and a version. @throws {StatusError} 409 if the name is in use */
  create(resource: Resource, object: KubeObject): KubeObject {
    const { namespace, name } = object.metadata;
    if (this.get(resource, namespace, name) !== undefined) {
      throw createAlreadyExists(resource, name);
    }
    const creationTimestamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const metadata = { ...object.metadata, uid: randomUUID(), creationTimestamp };
    return this.#put('ADDED', resource, { ...object, metadata });
  }

  /** Stores a changed object. @throws {StatusError} 409 if it was changed since `base` was read */
  update(resource: Resource, base: KubeObject, object: KubeObject): KubeObject {
    const { namespace, name } = base.metadata;
    const live = this.mustGet(resource, namespace, name);
    if (live.metadata.resourceVersion !== base.metadata.resourceVersion) {
      throw createConflict(resource, name, modifiedMessage);
    }
    return this.#put('MODIFIED', resource, object, live);
  }

  delete(resource: Resource, object: KubeObject): void {
    const { namespace, name } = object.metadata;
    this.#objects.get(resource)?.delete(getKey(namespace, name));
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    this.#record({ type: 'DELETED', resource, object: { ...object, metadata }, version: this.#version });
  }

  /** Returns the available changes after a version. */
  since(version: number): Change[] {
    return this.#history.filter((change) => change.version > version);
  }

  /** Discards the changes so far, as a compaction of etcd does. */
  compact(): void {
    this.#history = [];
    this.#compacted = this.#version;
  }

  /** Simulates a restored backup: versions continue from this one. */
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
    this.#objects.set(resource, ofKind.set(getKey(namespace, name), stored));
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
