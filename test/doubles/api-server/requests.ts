import type { Attempt } from './access.ts';

/** One request that came in. */
export interface SeenRequest {
  verb: string;
  /** `secrets`, `pods/ephemeralcontainers` … */
  resource: string;
  namespace: string | undefined;
  name: string | undefined;
  username: string;
  userAgent: string;
  accept: string;
  contentType: string;
  dryRun: boolean;
}

/** The requests that came in. */
export class SeenRequests {
  readonly all: SeenRequest[] = [];

  add(
    { verb, resource, namespace, name, subresource }: Attempt,
    rest: Omit<SeenRequest, 'verb' | 'resource' | 'namespace' | 'name'>,
  ): void {
    const path = subresource === '' ? resource.resource : `${resource.resource}/${subresource}`;
    this.all.push({ verb, resource: path, namespace, name, ...rest });
  }

  /** How many there were, of this verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`) on this resource. */
  count(verb: string, resource: string): number {
    return this.all.filter((request) => request.verb === verb && request.resource === resource).length;
  }

  /** Forgets them. */
  clear(): void {
    this.all.length = 0;
  }
}
