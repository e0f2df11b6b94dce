// Reads the files of saved images: an archive of `docker save`, or a folder in the OCI image layout.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { filesOfTar } from './tar.ts';

/** The files of an image. */
export interface ImageFiles {
  /** By path, without a leading slash. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** Sum of all layers with gzip, which is what a node pulls. */
  readonly compressedBytes: number;
}

/** An image of an index, for one platform. */
export interface PlatformImage extends ImageFiles {
  /** For example `linux/arm64`. */
  readonly platform: string;
  /** Of its manifest. */
  readonly digest: string;
}

/** An index of images, one for each platform. */
export interface ImageIndex {
  readonly digest: string;
  readonly images: readonly PlatformImage[];
}

/** Reads an archive of `docker save`. @throws {Error} if the file is not one */
export async function readArchive(archive: string): Promise<ImageFiles> {
  const blobs = new Map<string, Buffer>();
  for (const { path, data } of filesOfTar(await readFile(archive))) {
    blobs.set(path, data);
  }
  const [image] = JSON.parse(blobs.get('manifest.json')?.toString() ?? '[]');
  const layers: Buffer[] = (image?.Layers ?? []).map((path: string) => blobs.get(path));
  if (layers.length === 0) {
    throw new Error(`${archive} is not an image as docker saves them`);
  }
  return await readLayers(layers);
}

interface Descriptor {
  readonly digest: string;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

/** Reads the only index of a folder in the OCI image layout. @throws {Error} if the folder does not contain exactly one */
export async function readLayout(folder: string): Promise<ImageIndex> {
  const blob = (digest: string) => readFile(join(folder, 'blobs', digest.replace(':', '/')));
  const parse = async (digest: string) => JSON.parse((await blob(digest)).toString());
  const roots: readonly Descriptor[] = JSON.parse(
    await readFile(join(folder, 'index.json'), 'utf8'),
  ).manifests;
  const [root] = roots;
  const manifests: readonly Descriptor[] | undefined = root && (await parse(root.digest)).manifests;
  if (root === undefined || manifests === undefined || roots.length > 1) {
    throw new Error(`${folder} does not contain exactly one image index`);
  }
  const images: PlatformImage[] = [];
  for (const { digest, platform } of manifests) {
    const { layers }: { layers: readonly Descriptor[] } = await parse(digest);
    const contents = await readLayers(await Promise.all(layers.map((layer) => blob(layer.digest))));
    images.push({ ...contents, digest, platform: `${platform?.os}/${platform?.architecture}` });
  }
  return { digest: root.digest, images };
}

async function readLayers(layers: readonly Buffer[]): Promise<ImageFiles> {
  const files = new Map<string, Buffer>();
  let compressedBytes = 0;
  for (const layer of layers) {
    const packed = layer.readUInt16BE(0) === 0x1f8b;
    compressedBytes += (packed ? layer : await promisify(gzip)(layer)).length;
    for (const { path, data } of filesOfTar(packed ? await promisify(gunzip)(layer) : layer)) {
      files.set(path.replace(/^\.?\//, ''), data);
    }
  }
  return { files, compressedBytes };
}
