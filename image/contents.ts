// Lists the files and sizes of an image.
import type { ImageFiles } from './image-files.ts';

/** The contents of an image. */
export interface Contents {
  /** Sorted by size, largest first. Paths have no leading slash. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** Sum of all files. */
  readonly bytes: number;
  /** Sum of all layers with gzip, which is what a node pulls. */
  readonly compressedBytes: number;
}

/** Returns the sizes of the files of an image. */
export function contentsOf({ files: data, compressedBytes }: ImageFiles): Contents {
  const files = [...data].map(([path, { length }]) => ({ path, bytes: length }));
  return {
    files: files.sort((a, b) => b.bytes - a.bytes),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    compressedBytes,
  };
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
