// Lists of the API stand-in: pages, continue tokens, and lists of metadata only.
import { getApiVersion, type Target } from './api-resources.ts';
import { createBadRequest, StatusError } from './api-status-error.ts';
import type { KubeObject } from './kube-object.ts';
import { createSelector } from './selector-matching.ts';
import type { Store } from './store.ts';

/** Converts a stored object to the form in a response. */
export type Representation = (object: KubeObject) => Record<string, unknown>;

const toPartialMetadata: Representation = ({ metadata }) => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata,
});

/** Whether an Accept header requests metadata only. */
function wantsMetadata(accept: string | undefined): boolean {
  return /;\s*as=PartialObjectMetadata(List)?\b/.test(accept ?? '');
}

/** Returns the form of objects that the client accepts: complete, or metadata only. */
export function getRepresentation(accept: string | undefined): Representation {
  return wantsMetadata(accept) ? toPartialMetadata : (object) => object;
}

interface Snapshot {
  version: number;
  items: KubeObject[];
}

// A continue token refers to the objects at the time of the first page.
const maxSnapshots = 8;

/** Creates lists, in pages if the client requests them. */
export class Lists {
  readonly #store: Store;
  readonly #snapshots = new Map<string, Snapshot>();
  #next = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Makes all `continue` tokens expire. */
  expire(): void {
    this.#snapshots.clear();
  }

  /**
   * Creates the body of a list.
   *
   * @throws {StatusError} 410 for a continue token that is too old, 406 for metadata of an object instead of a list
   */
  createList(target: Target, query: URLSearchParams, accept: string | undefined): Record<string, unknown> {
    const limit = Number(query.get('limit') ?? 0);
    if (/;\s*as=PartialObjectMetadata\s*(;|$)/.test(accept ?? '')) {
      throw new StatusError(
        406,
        'NotAcceptable',
        'you requested PartialObjectMetadata, but the requested object is a list',
      );
    }
    const { snapshot, start } = this.#findSnapshot(target, query);
    const end = limit > 0 ? start + limit : snapshot.items.length;
    const items = snapshot.items.slice(start, end);
    const rest = Math.max(0, snapshot.items.length - end);
    const metadata = {
      resourceVersion: String(snapshot.version),
      ...(rest > 0 && { continue: this.#createToken(snapshot, end) }),
    };
    const [kind, apiVersion] = wantsMetadata(accept)
      ? ['PartialObjectMetadataList', 'meta.k8s.io/v1']
      : [`${target.resource.kind}List`, getApiVersion(target.resource)];
    return { kind, apiVersion, metadata, items: items.map(getRepresentation(accept)) };
  }

  #findSnapshot(target: Target, query: URLSearchParams): { snapshot: Snapshot; start: number } {
    const token = query.get('continue') ?? '';
    if (token === '') {
      const items = this.#store.list(target.resource, target.namespace).filter(createSelector(query));
      return { snapshot: { version: this.#store.version, items }, start: 0 };
    }
    const [id = '', start] = token.split('.');
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) {
      const text = 'The provided continue parameter is too old to display a consistent list result.';
      throw new StatusError(410, 'Expired', text, undefined, token);
    }
    if (!Number.isInteger(Number(start))) {
      throw createBadRequest('continue key is not valid');
    }
    return { snapshot, start: Number(start) };
  }

  #createToken(snapshot: Snapshot, start: number): string {
    const known = [...this.#snapshots].find(([, one]) => one === snapshot)?.[0];
    const id = known ?? `${snapshot.version}-${this.#next++}`;
    this.#snapshots.set(id, snapshot);
    for (const old of [...this.#snapshots.keys()].slice(0, -maxSnapshots)) {
      this.#snapshots.delete(old);
    }
    return `${id}.${start}`;
  }
}
