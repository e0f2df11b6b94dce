// Routes the requests of the API stand-in.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ApiFaults } from './api-faults.ts';
import { targetOf } from './api-resources.ts';
import { internalError, StatusError } from './api-status-error.ts';
import { getRepresentation, type Lists } from './lists.ts';
import { type Attempt, authorize, type User, type Users } from './rbac.ts';
import { selectedName } from './selector-matching.ts';
import type { Store } from './store.ts';
import type { Watches } from './watches.ts';
import type { Write, Writes, Written } from './writes.ts';

/** One request that came in. */
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

/** The requests that came in. */
export class RequestLog {
  readonly all: RecordedRequest[] = [];

  add(
    { verb, resource, namespace, name, subresource }: Attempt,
    rest: Omit<RecordedRequest, 'verb' | 'resource' | 'namespace' | 'name'>,
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

/** What the handler works with. */
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

async function read(request: IncomingMessage): Promise<string> {
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

function parseAttempt(method: string, url: URL): Attempt {
  const target = targetOf(url.pathname);
  const { name } = target;
  if (method !== 'GET') {
    return { ...target, verb: verbs[method] ?? method.toLowerCase() };
  }
  if (name !== undefined) {
    return { ...target, verb: 'get' };
  }
  const verb = url.searchParams.get('watch') === 'true' ? 'watch' : 'list';
  // A list of one name is authorized as that name.
  return { ...target, verb, name: selectedName(url.searchParams) };
}

function quoted(text: string): string {
  return `299 - "${text.replace(/["\\]/g, '\\$&')}"`;
}

function respond(response: ServerResponse, status: number, body: unknown, warnings: string[] = []): void {
  response.setHeader('content-type', 'application/json');
  if (warnings.length > 0) {
    response.setHeader('warning', warnings.map(quoted));
  }
  response.writeHead(status).end(JSON.stringify(body));
}

/** Answers requests as an API server. */
export class RequestHandler {
  readonly #dependencies: RequestHandlerDependencies;

  constructor(dependencies: RequestHandlerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Answers one request; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch (error) {
      const failure = error instanceof StatusError ? error : internalError(String(error));
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
    const user = users.of(request.headers.authorization);
    if (url.pathname === '/version') {
      const [major = '', minor = ''] = version.split('.');
      respond(response, 200, { major, minor, gitVersion: `v${version}` });
      return;
    }
    const attempt = parseAttempt(request.method ?? 'GET', url);
    this.#log(attempt, user, request, url.searchParams);
    const fault = faults.take(attempt);
    if (fault === 'hang') {
      return;
    }
    if (fault !== undefined) {
      throw fault;
    }
    authorize(store, user, attempt);
    if (['get', 'list', 'watch'].includes(attempt.verb)) {
      this.#read(attempt, url.searchParams, request, response);
    } else {
      await this.#write(attempt, url.searchParams, user, request, response);
    }
  }

  #log(attempt: Attempt, user: User, { headers }: IncomingMessage, query: URLSearchParams): void {
    this.#dependencies.requests.add(attempt, {
      username: user.username,
      userAgent: headers['user-agent'] ?? '',
      accept: headers.accept ?? '',
      contentType: headers['content-type'] ?? '',
      dryRun: query.get('dryRun') === 'All',
    });
  }

  #read(
    attempt: Attempt,
    query: URLSearchParams,
    { headers }: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { store, lists, watches } = this.#dependencies;
    const { resource, namespace, name = '' } = attempt;
    const { accept } = headers;
    if (attempt.verb === 'watch') {
      watches.start({ target: attempt, query, accept, response });
    } else if (attempt.verb === 'list') {
      respond(response, 200, lists.body(attempt, query, accept));
    } else {
      respond(response, 200, getRepresentation(accept)(store.mustGet(resource, namespace, name)));
    }
  }

  async #write(
    attempt: Attempt,
    query: URLSearchParams,
    user: User,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { writes, store } = this.#dependencies;
    const { verb, resource, namespace, name } = attempt;
    const { headers } = request;
    const userAgent = headers['user-agent'] ?? '';
    const contentType = headers['content-type']?.split(';')[0]?.trim() ?? '';
    const write = { target: attempt, query, user, userAgent, contentType, body: await read(request) };
    // An apply that creates needs both rights.
    if (verb === 'patch' && name !== undefined && store.get(resource, namespace, name) === undefined) {
      authorize(store, user, { ...attempt, verb: 'create' });
    }
    const { status, body, warnings } = await perform(writes, verb, write);
    respond(response, status, body, warnings);
  }
}

async function perform(writes: Writes, verb: string, write: Write): Promise<Written> {
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
