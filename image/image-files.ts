// Reads the files of saved images.
import { readFile } from 'node:fs/promises';
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
