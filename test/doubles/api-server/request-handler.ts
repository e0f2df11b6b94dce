// Handles the requests of the API stand-in: authentication, faults, authorization, then reads, watches and writes.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ApiFaults } from './api-faults.ts';
import { parseTarget } from './api-resources.ts';
import { createInternalError, StatusError } from './api-status-error.ts';
import { getRepresentation, type Lists } from './lists.ts';
import { authorize, type RequestAttributes, type User, type Users } from './rbac.ts';
import { getSelectedName } from './selector-matching.ts';
import type { Store } from './store.ts';
import type { Watches } from './watches.ts';
import type { Write, WriteResult, Writes } from './writes.ts';

/** A received request. */
export interface RecordedRequest {
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

/** All received requests. */
export class RequestLog {
  readonly all: RecordedRequest[] = [];

  add(
    { verb, resource, namespace, name, subresource }: RequestAttributes,
    rest: Omit<RecordedRequest, 'verb' | 'resource' | 'namespace' | 'name'>,
  ): void {
    const path = subresource === '' ? resource.resource : `${resource.resource}/${subresource}`;
    this.all.push({ verb, resource: path, namespace, name, ...rest });
  }

  /** Counts the requests with a verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`) and a resource. */
  count(verb: string, resource: string): number {
    return this.all.filter((request) => request.verb === verb && request.resource === resource).length;
  }

  /** Removes all entries. */
  clear(): void {
    this.all.length = 0;
  }
}

export interface RequestHandlerDependencies {
  version: string;
  store: Store;
  users: Users;
  lists: Lists;
  watches: Watches;
  writes: Writes;
  faults: ApiFaults;
  requests: RequestLog;
}

// https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/server/config.go (MaxRequestBodyBytes)
const maxBodyBytes = 3 * 1024 * 1024;

const verbs: Record<string, string> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > maxBodyBytes) {
      throw new StatusError(413, 'RequestEntityTooLarge', `limit is ${maxBodyBytes}`);
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

function parseAttributes(method: string, url: URL): RequestAttributes {
  const target = parseTarget(url.pathname);
  const { name } = target;
  if (method !== 'GET') {
    return { ...target, verb: verbs[method] ?? method.toLowerCase() };
  }
  if (name !== undefined) {
    return { ...target, verb: 'get' };
  }
  const verb = url.searchParams.get('watch') === 'true' ? 'watch' : 'list';
  // A list of one name is authorized as that name.
  return { ...target, verb, name: getSelectedName(url.searchParams) };
}

function formatWarning(text: string): string {
  return `299 - "${text.replace(/["\\]/g, '\\$&')}"`;
}

function respond(response: ServerResponse, status: number, body: unknown, warnings: string[] = []): void {
  response.setHeader('content-type', 'application/json');
  if (warnings.length > 0) {
    response.setHeader('warning', warnings.map(formatWarning));
  }
  response.writeHead(status).end(JSON.stringify(body));
}

/** Handles requests as an API server does. */
export class RequestHandler {
  readonly #dependencies: RequestHandlerDependencies;

  constructor(dependencies: RequestHandlerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Handles one request. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch (error) {
      const failure = error instanceof StatusError ? error : createInternalError(String(error));
      if (response.headersSent) {
        response.destroy();
      } else {
        respond(response, failure.code, failure.status());
      }
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { users, faults, store, version } = this.#dependencies;
    const url = new URL(request.url ?? '/', 'http://stand-in');
    if (['/healthz', '/readyz', '/livez'].includes(url.pathname)) {
      response.end('ok');
      return;
    }
    const user = users.authenticate(request.headers.authorization);
    if (url.pathname === '/version') {
      const [major = '', minor = ''] = version.split('.');
      respond(response, 200, { major, minor, gitVersion: `v${version}` });
      return;
    }
    const attributes = parseAttributes(request.method ?? 'GET', url);
    this.#log(attributes, user, request, url.searchParams);
    const fault = faults.take(attributes);
    if (fault === 'hang') {
      return;
    }
    if (fault !== undefined) {
      throw fault;
    }
    authorize(store, user, attributes);
    if (['get', 'list', 'watch'].includes(attributes.verb)) {
      this.#read(attributes, url.searchParams, request, response);
    } else {
      await this.#write(attributes, url.searchParams, user, request, response);
    }
  }

  #log(
    attributes: RequestAttributes,
    user: User,
    { headers }: IncomingMessage,
    query: URLSearchParams,
  ): void {
    this.#dependencies.requests.add(attributes, {
      username: user.username,
      userAgent: headers['user-agent'] ?? '',
      accept: headers.accept ?? '',
      contentType: headers['content-type'] ?? '',
      dryRun: query.get('dryRun') === 'All',
    });
  }

  #read(
    attributes: RequestAttributes,
    query: URLSearchParams,
    { headers }: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { store, lists, watches } = this.#dependencies;
    const { resource, namespace, name = '' } = attributes;
    const { accept } = headers;
    if (attributes.verb === 'watch') {
      watches.start({ target: attributes, query, accept, response });
    } else if (attributes.verb === 'list') {
      respond(response, 200, lists.createList(attributes, query, accept));
    } else {
      respond(response, 200, getRepresentation(accept)(store.mustGet(resource, namespace, name)));
    }
  }

  async #write(
    attributes: RequestAttributes,
    query: URLSearchParams,
    user: User,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { writes, store } = this.#dependencies;
    const { verb, resource, namespace, name } = attributes;
    const { headers } = request;
    const userAgent = headers['user-agent'] ?? '';
    const contentType = headers['content-type']?.split(';')[0]?.trim() ?? '';
    const write = { target: attributes, query, user, userAgent, contentType, body: await readBody(request) };
    // An apply that creates an object needs both permissions.
    if (verb === 'patch' && name !== undefined && store.get(resource, namespace, name) === undefined) {
      authorize(store, user, { ...attributes, verb: 'create' });
    }
    const { status, body, warnings } = await perform(writes, verb, write);
    respond(response, status, body, warnings);
  }
}

async function perform(writes: Writes, verb: string, write: Write): Promise<WriteResult> {
  if (verb === 'create') {
    return await writes.create(write);
  }
  if (verb === 'update') {
    return await writes.replace(write);
  }
  if (verb === 'patch') {
    return await writes.patch(write);
  }
  if (verb === 'delete') {
    return writes.remove(write);
  }
  throw new StatusError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
  );
}
