// Runs docker-registry with small images, as the storage behind the ECR hosts of a real pull.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { stringify } from 'yaml';
import { startServer } from '../cluster/server-process.ts';
import { requiredPullPrograms } from './pull-tools.ts';

/** A docker-registry on a Unix socket that requires no password, so the server in front of it has to. */
export interface Registry {
  readonly socketPath: string;
  /** Creates a small image and pushes it to `REPOSITORY:TAG`. */
  push(repository: string, tag: string): Promise<Image>;
  /** Creates an image index for platforms such as `linux/arm64`, all with the same small image, and pushes it. */
  pushIndex(repository: string, tag: string, platforms: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** The parts of an image: its configuration and layers, by the hex form of their SHA-256. */
export type Image = ReadonlyMap<string, Buffer>;

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

/** Starts a registry on a new folder, which is removed when the registry stops or this process ends. */
export async function startRegistry(): Promise<Registry> {
  const folder = await mkdtemp(join(tmpdir(), 'registry-'));
  const socketPath = join(folder, 'socket');
  const configFile = join(folder, 'config.yml');
  await writeFile(
    configFile,
    stringify({
      version: 0.1,
      storage: { filesystem: { rootdirectory: join(folder, 'data') } },
      http: { net: 'unix', addr: socketPath, secret: randomBytes(16).toString('hex'), relativeurls: true },
    }),
  );
  const server = await startServer({
    program: requiredPullPrograms.registry,
    args: ['serve', configFile],
    logFile: join(folder, 'log'),
    isReady: async () => (await send(socketPath, 'GET', '/v2/')).status === 200,
    timeoutMs: 20_000,
    removeIfOrphaned: folder,
  });
  return {
    socketPath,
    push: (repository, tag) => push(socketPath, repository, tag),
    pushIndex: (repository, tag, platforms) => pushIndex(socketPath, repository, tag, platforms),
    stop: async () => {
      await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function push(socketPath: string, repository: string, tag: string): Promise<Image> {
  const { image, manifest } = await pushLayers(socketPath, repository);
  await uploadNew(socketPath, `/v2/${repository}/manifests/${tag}`, manifestType, manifest);
  return image;
}

async function pushIndex(
  socketPath: string,
  repository: string,
  tag: string,
  platforms: readonly string[],
): Promise<void> {
  const { manifest } = await pushLayers(socketPath, repository);
  const digest = `sha256:${sha256(manifest)}`;
  await uploadNew(socketPath, `/v2/${repository}/manifests/${digest}`, manifestType, manifest);
  const index = json({
    schemaVersion: 2,
    mediaType: indexType,
    manifests: platforms.map((platform) => {
      const [os, architecture, variant] = platform.split('/');
      const described = describeBlob(manifestType, manifest);
      return { ...described, platform: { os, architecture, ...(variant !== undefined && { variant }) } };
    }),
  });
  await uploadNew(socketPath, `/v2/${repository}/manifests/${tag}`, indexType, index);
}

/** Uploads the blobs of an image, and returns its manifest. */
async function pushLayers(
  socketPath: string,
  repository: string,
): Promise<{ readonly image: Image; readonly manifest: Buffer }> {
  const tar = Buffer.alloc(1024); // Two blocks of zeros: an archive without files.
  const layer = gzipSync(tar);
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(tar)}`] },
  });
  const blobs = [config, layer];
  for (const blob of blobs) {
    const begun = await send(socketPath, 'POST', `/v2/${repository}/blobs/uploads/`);
    const upload = `${begun.location}&digest=sha256:${sha256(blob)}`;
    await uploadNew(socketPath, upload, 'application/octet-stream', blob);
  }
  const manifest = json({
    schemaVersion: 2,
    mediaType: manifestType,
    config: describeBlob('application/vnd.oci.image.config.v1+json', config),
    layers: [describeBlob('application/vnd.oci.image.layer.v1.tar+gzip', layer)],
  });
  return { image: new Map(blobs.map((blob) => [sha256(blob), blob])), manifest };
}

function describeBlob(mediaType: string, blob: Buffer) {
  return { mediaType, digest: `sha256:${sha256(blob)}`, size: blob.length };
}

async function uploadNew(socketPath: string, path: string, type: string, body: Buffer): Promise<void> {
  const { status } = await send(socketPath, 'PUT', path, { type, body });
  if (status !== 201) {
    throw new Error(`docker-registry did not take the test's image: PUT ${path}: ${status}`);
  }
}

function send(
  socketPath: string,
  method: string,
  path: string,
  content?: { type: string; body: Buffer },
): Promise<{ status: number; location: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; location: string }>();
  const headers = content === undefined ? {} : { 'content-type': content.type };
  request({ socketPath, method, path, headers }, (answer) => {
    answer.resume();
    resolve({ status: answer.statusCode ?? 0, location: answer.headers.location ?? '' });
  })
    .on('error', reject)
    .end(content?.body);
  return promise;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
