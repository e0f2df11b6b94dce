// Lists the files and sizes of an image that was saved as an archive.
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { filesOfTar } from './tar.ts';

/** The contents of an image. */
export interface Contents {
  /** Sorted by size, largest first. Paths have no leading slash. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** Sum of all files. */
  readonly bytes: number;
  /** Sum of all layers with gzip, which is what a node pulls. */
  readonly compressedBytes: number;
}

/** Reads an archive of `docker save`. @throws {Error} if the file is not one */
export async function contentsOf(archive: string): Promise<Contents> {
  const blobs = new Map<string, Buffer>();
  for (const { path, data } of filesOfTar(await readFile(archive))) {
    blobs.set(path, data);
  }
  const [image] = JSON.parse(blobs.get('manifest.json')?.toString() ?? '[]');
  const layers: Buffer[] = (image?.Layers ?? []).map((path: string) => blobs.get(path));
  if (layers.length === 0) {
    throw new Error(`${archive} is not an image as docker saves them`);
  }
  const sizes = new Map<string, number>();
  let compressedBytes = 0;
  for (const layer of layers) {
    const packed = layer.readUInt16BE(0) === 0x1f8b;
    compressedBytes += (packed ? layer : await promisify(gzip)(layer)).length;
    for (const { path, data } of filesOfTar(packed ? await promisify(gunzip)(layer) : layer)) {
      sizes.set(path.replace(/^\.?\//, ''), data.length);
    }
  }
  const files = [...sizes].map(([path, bytes]) => ({ path, bytes })).sort((a, b) => b.bytes - a.bytes);
  return { files, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0), compressedBytes };
}

const maxListedFiles = 20;

/** Formats the sizes and the largest files as text. */
export function listing({ files, bytes, compressedBytes }: Contents): string {
  const rest = files.slice(maxListedFiles);
  return [
    `${megabytes(bytes)} in ${files.length} files, ${megabytes(compressedBytes)} to pull`,
    ...files.slice(0, maxListedFiles).map((file) => `${megabytes(file.bytes).padStart(11)}  /${file.path}`),
    ...(rest.length === 0
      ? []
      : [
          `${megabytes(rest.reduce((sum, file) => sum + file.bytes, 0)).padStart(11)}  ${rest.length} others`,
        ]),
  ].join('\n');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(3)} MB`;
}
