// Reads tar archives.
/** One file of a tar archive. */
interface Entry {
  readonly path: string;
  readonly data: Buffer;
}

const blockBytes = 512;
const regularFileTypes = new Set(['0', '\0']);

/** Yields the regular files of a tar archive (ustar, with long names as in pax and GNU tar). */
export function* filesOfTar(archive: Buffer): Generator<Entry> {
  let longName: string | undefined;
  for (let offset = 0; offset + blockBytes <= archive.length; ) {
    const header = archive.subarray(offset, offset + blockBytes);
    if (header[0] === 0) {
      return;
    }
    const size = sizeIn(header);
    const data = archive.subarray(offset + blockBytes, offset + blockBytes + size);
    offset += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === 'x') {
      longName = /^\d+ path=(.*)$/m.exec(data.toString())?.[1];
    } else if (type === 'L') {
      longName = textOf(data);
    } else {
      if (regularFileTypes.has(type)) {
        yield { path: longName ?? nameIn(header), data };
      }
      longName = undefined;
    }
  }
}

function sizeIn(header: Buffer): number {
  const size = Number.parseInt(textOf(header.subarray(124, 136)), 8);
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new Error('not a tar archive');
  }
  return size;
}

function nameIn(header: Buffer): string {
  const prefix = textOf(header.subarray(345, 500));
  const name = textOf(header.subarray(0, 100));
  return prefix === '' ? name : `${prefix}/${name}`;
}

function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}
