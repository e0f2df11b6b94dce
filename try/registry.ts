// A registry that serves one image under every name, to clients with a valid token of the ECR stand-in.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import {
  findRejection,
  issuerOf,
  type TokenIssuer,
  writeRejection,
} from '../test/doubles/ecr/registry-access.ts';

/** A blob or manifest, as the registry sends it. */
interface Content {
  readonly type: string;
  readonly data: Buffer;
  readonly digest: string;
}

/** An image: its manifest, and its parts by digest. */
export interface ServedImage {
  readonly manifest: Content;
  readonly contents: ReadonlyMap<string, Content>;
}

interface ImageOptions {
  /** A tar archive with the files of the image. */
  readonly layer: Buffer;
  readonly entrypoint: readonly string[];
  /** The CPU architecture by its name in Node.js. */
  readonly arch: string;
}

const ociType = 'application/vnd.oci.image';

/** Creates an image of one layer that runs on Linux as an unprivileged user. */
export function createImage({ layer, entrypoint, arch }: ImageOptions): ServedImage {
  const packed = describe(`${ociType}.layer.v1.tar+gzip`, gzipSync(layer));
  const config = describeJson(`${ociType}.config.v1+json`, {
    architecture: arch === 'x64' ? 'amd64' : arch,
    os: 'linux',
    config: { Entrypoint: entrypoint, User: '65532' },
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  });
  const manifest = describeJson(`${ociType}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${ociType}.manifest.v1+json`,
    config: reference(config),
    layers: [reference(packed)],
  });
  return { manifest, contents: new Map([packed, config, manifest].map((one) => [one.digest, one])) };
}

function describeJson(type: string, value: object): Content {
  return describe(type, Buffer.from(JSON.stringify(value)));
}

function describe(type: string, data: Buffer): Content {
  return { type, data, digest: digestOf(data) };
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

function reference({ type, data, digest }: Content): object {
  return { mediaType: type, size: data.length, digest };
}

interface RegistryOptions {
  readonly ecr: TokenIssuer;
  readonly image: ServedImage;
  /** Receives a line for each request, without credentials. */
  log(line: string): void;
}

/** Creates the server, which speaks the part of the OCI distribution specification that a pull needs. */
export function createRegistry(options: RegistryOptions): Server {
  return createServer((request, response) => {
    response.once('close', () =>
      options.log(`registry: ${request.method} ${request.url}: ${response.statusCode}`),
    );
    serve(request, response, options);
  });
}

function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { ecr, image }: Omit<RegistryOptions, 'log'>,
): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://registry');
  // containerd names the registry whose mirror this is.
  const host = searchParams.get('ns') ?? request.headers.host ?? '';
  const rejection = findRejection(request.headers.authorization ?? '', issuerOf(host), ecr);
  if (rejection !== undefined) {
    writeRejection(response, rejection, host);
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405).end();
    return;
  }
  if (pathname === '/v2/') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    return;
  }
  const content = findContent(pathname, image);
  if (content === undefined) {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ errors: [{ code: 'NOT_FOUND', message: `${pathname} does not exist` }] }));
    return;
  }
  response.writeHead(200, {
    'content-type': content.type,
    'content-length': content.data.length,
    'docker-content-digest': content.digest,
  });
  response.end(request.method === 'HEAD' ? undefined : content.data);
}

function findContent(pathname: string, { manifest, contents }: ServedImage): Content | undefined {
  const [, kind, name = ''] = /^\/v2\/.+\/(manifests|blobs)\/([^/]+)$/.exec(pathname) ?? [];
  return kind === 'manifests' && !name.includes(':') ? manifest : contents.get(name);
}
