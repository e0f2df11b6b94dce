// Lists of the API stand-in, page by page.
import { apiVersionOf, type Target } from './api-resources.ts';
import { badRequest, StatusError } from './api-status-error.ts';
import type { KubeObject } from './kube-object.ts';
import { selects } from './selector-matching.ts';
import type { Store } from './store.ts';

/** How an object is to be shown. */
export type Representation = (object: KubeObject) => Record<string, unknown>;

const partial: Representation = ({ metadata }) => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata,
});

/** Whether an Accept header asks for metadata only. */
function wantsMetadata(accept: string | undefined): boolean {
  return /;\s*as=PartialObjectMetadata(List)?\b/.test(accept ?? '');
}

/** How the client wants to see objects: whole, or their metadata. */
export function getRepresentation(accept: string | undefined): Representation {
  return wantsMetadata(accept) ? partial : (object) => object;
}

interface Snapshot {
  version: number;
  items: KubeObject[];
}

// A continue token needs what was there when its list began.
const maxSnapshots = 8;

/** Lists, in pages where the client asks for them. */
export class Lists {
  readonly #store: Store;
  readonly #snapshots = new Map<string, Snapshot>();
  #next = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Makes every `continue` token too old. */
  expire(): void {
    this.#snapshots.clear();
  }

  /**
   * The body of a list.
   *
   * @throws {StatusError} 410 for a continue token that is too old, 406 for metadata of an object instead of a list
   */
  body(target: Target, query: URLSearchParams, accept: string | undefined): Record<string, unknown> {
    const limit = Number(query.get('limit') ?? 0);
    if (/;\s*as=PartialObjectMetadata\s*(;|$)/.test(accept ?? '')) {
      throw new StatusError(
        406,
        'NotAcceptable',
        'you requested PartialObjectMetadata, but the requested object is a list',
      );
    }
    const { snapshot, start } = this.#snapshot(target, query);
    const end = limit > 0 ? start + limit : snapshot.items.length;
    const items = snapshot.items.slice(start, end);
    const rest = Math.max(0, snapshot.items.length - end);
    const metadata = {
      resourceVersion: String(snapshot.version),
      ...(rest > 0 && { continue: this.#token(snapshot, end) }),
    };
    const [kind, apiVersion] = wantsMetadata(accept)
      ? ['PartialObjectMetadataList', 'meta.k8s.io/v1']
      : [`${target.resource.kind}List`, apiVersionOf(target.resource)];
    return { kind, apiVersion, metadata, items: items.map(getRepresentation(accept)) };
  }

  #snapshot(target: Target, query: URLSearchParams): { snapshot: Snapshot; start: number } {
    const token = query.get('continue') ?? '';
    if (token === '') {
      const items = this.#store.list(target.resource, target.namespace).filter(selects(query));
      return { snapshot: { version: this.#store.version, items }, start: 0 };
    }
    const [id = '', start] = token.split('.');
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) {
      const text = 'The provided continue parameter is too old to display a consistent list result.';
      throw new StatusError(410, 'Expired', text, undefined, token);
    }
    if (!Number.isInteger(Number(start))) {
      throw badRequest('continue key is not valid');
    }
    return { snapshot, start: Number(start) };
  }

  #token(snapshot: Snapshot, start: number): string {
    const known = [...this.#snapshots].find(([, one]) => one === snapshot)?.[0];
    const id = known ?? `${snapshot.version}-${this.#next++}`;
    this.#snapshots.set(id, snapshot);
    for (const old of [...this.#snapshots.keys()].slice(0, -maxSnapshots)) {
      this.#snapshots.delete(old);
    }
    return `${id}.${start}`;
  }
}
