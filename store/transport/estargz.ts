// A layer as eStargz: gzip members that each begin with a piece of a file's content, so that one file can be fetched and
// read alone, and a table of contents. To everybody else it is a gzipped tar.
//
//   member 1        the header of the landmark
//   members 2 … n   a piece (of at most 4 MiB) of a file's content, then whatever follows it in the tar up to the next one
//   member n + 1    a tar of its own: 'stargz.index.json', the table of contents
//   footer          51 bytes, an empty gzip member whose extra field says where the table's member begins
//
// The layer's tar is in it unchanged, behind the landmark; so what it uncompresses to is another layer, with its own diffID.
// @see stargz-snapshotter, docs/estargz.md
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { displayPath, openEncoder } from '#native';
import { otherDigest, readFailure } from '../damage.js';
import type { EntryType, TarEntry } from '../format/entry.js';
import { paddedSize } from '../format/tar-block.js';
import { scanTar } from '../format/tar-scan.js';
import type { Layer } from '../types.js';
import { sideBySide } from './compress.js';

export interface Estargz {
  /** Digest of the table of contents, as whoever mounts the layer checks it. */
  readonly tocDigest: string;
  readonly uncompressedSize: number;
  readonly uncompressedDigest: string;
}

const landmark = '.no.prefetch.landmark';
const tocName = 'stargz.index.json';
const pieceBytes = 4 << 20;

/** False where the table of contents can't say what is in the layer: sparse members, or a table that is there already. */
export function canBeEstargz(entries: readonly TarEntry[]): boolean {
  return entries.every(({ path, sparse }) => sparse === undefined && path !== tocName && path !== landmark);
}

/**
 * The compressed layer, piece by piece.
 *
 * @param onRead called with the bytes of the tar that are done
 * @returns what the descriptor of the layer says of it, after the last piece
 * @throws StoreError LAYER_DAMAGED: the tar is not what its diffID says
 */
export async function* encodeEstargz(
  layer: Layer,
  level: number,
  onRead: (bytes: number) => void,
): AsyncGenerator<Buffer, Estargz> {
  const { bound, encode } = await openEncoder('gzip', level);
  const compress = (bytes: Buffer): Promise<Buffer> => encode(bytes, Buffer.allocUnsafeSlow(bound(bytes.length)));
  const entries = scanTar(layer.tarPath, layer.size);
  const uncompressed = createHash('sha256');
  const toc = new Contents(entries);
  const head = tarHeader(landmark, landmarkBytes.length);
  let offset = 0;
  uncompressed.update(head);
  const first = await compress(head);
  offset += first.length;
  yield first;
  const members = membersOf(layer, entries, uncompressed);
  for await (const [{ bytes, piece, end }, member] of sideBySide(members, ({ bytes }) => compress(bytes))) {
    if (piece !== null) toc.add(piece, bytes, offset);
    offset += member.length;
    onRead(end);
    yield member;
  }
  const json = toc.json();
  const table = Buffer.concat([tarHeader(tocName, json.length), json, zeros(json.length), Buffer.alloc(1024)]);
  uncompressed.update(table);
  yield await compress(table);
  yield footer(offset);
  return {
    tocDigest: `sha256:${createHash('sha256').update(json).digest('hex')}`,
    uncompressedSize: landmarkSize + layer.size + table.length,
    uncompressedDigest: `sha256:${uncompressed.digest('hex')}`,
  };
}

/** The specification's content of a landmark. */
const landmarkBytes = Buffer.from([0xf]);
const landmarkSize = 1024;

interface Piece {
  /** Which entry it belongs to; -1 is the landmark. */
  readonly entry: number;
  readonly start: number;
  readonly length: number;
}

interface Member {
  /** The piece at its beginning, and what follows it. */
  readonly bytes: Buffer;
  readonly piece: Piece | null;
  /** Bytes of the layer's tar up to its end. */
  readonly end: number;
}

async function* membersOf(
  layer: Layer,
  entries: readonly TarEntry[],
  uncompressed: ReturnType<typeof createHash>,
): AsyncGenerator<Member> {
  const original = createHash('sha256');
  const file = await open(layer.tarPath, 'r');
  try {
    let piece: Piece = { entry: -1, start: 0, length: landmarkBytes.length };
    let begin = 0;
    for (const { at, piece: next } of [...cuts(entries), { at: layer.size, piece }]) {
      const tar = Buffer.allocUnsafeSlow(at - begin);
      const { bytesRead } = await file.read(tar, 0, tar.length, begin).catch((error: unknown) => {
        throw readFailure('layer', layer.diffId, error);
      });
      const read = tar.subarray(0, bytesRead); // shorter than it was: the digest tells
      original.update(read);
      const bytes = piece.entry < 0 ? Buffer.concat([landmarkBytes, zeros(landmarkBytes.length), read]) : read;
      uncompressed.update(bytes);
      yield { bytes, piece, end: at };
      [begin, piece] = [at, next];
    }
  } finally {
    await file.close();
  }
  const found = `sha256:${original.digest('hex')}`;
  if (found !== layer.diffId) throw otherDigest('layer', layer.diffId, found);
}

/** Where members begin in the tar: at each piece of a file's content. */
function* cuts(entries: readonly TarEntry[]): Generator<{ at: number; piece: Piece }> {
  for (const [entry, { type, size, dataOffset }] of entries.entries()) {
    if (type !== 'file') continue;
    for (let start = 0; start < size; start += pieceBytes) {
      yield { at: dataOffset + start, piece: { entry, start, length: Math.min(pieceBytes, size - start) } };
    }
  }
}

/** The table of contents: a row for each member of the tar, and one for each piece but the first of a file. */
class Contents {
  readonly #entries: readonly TarEntry[];
  readonly #pieces = new Map<number, Record<string, unknown>[]>();
  #digest = createHash('sha256');

  constructor(entries: readonly TarEntry[]) {
    this.#entries = entries;
  }

  /** Pieces come in the order of the tar. */
  add({ entry, start, length }: Piece, member: Buffer, offset: number): void {
    const content = member.subarray(0, length);
    const size = entry < 0 ? length : this.#entries[entry]!.size;
    const chunkDigest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    if (start === 0) this.#digest = createHash('sha256');
    this.#digest.update(content);
    const rows = this.#pieces.get(entry) ?? [];
    this.#pieces.set(entry, rows);
    const isLast = start + length === size;
    rows.push({
      offset,
      ...(start > 0 && { chunkOffset: start }),
      // Of the last piece the size says it.
      ...(!isLast && { chunkSize: length }),
      chunkDigest,
    });
    if (isLast) rows[0]!.digest = `sha256:${this.#digest.digest('hex')}`;
  }

  json(): Buffer {
    const rows: Record<string, unknown>[] = [
      {
        name: landmark,
        type: 'reg',
        size: landmarkBytes.length,
        modtime: time(0),
        mode: 0o444,
        ...this.#pieces.get(-1)?.[0],
      },
    ];
    for (const [i, entry] of this.#entries.entries()) {
      const [first, ...more] = this.#pieces.get(i) ?? [];
      const row = rowOf(entry);
      rows.push({ ...row, ...first });
      for (const piece of more) rows.push({ name: row.name, type: 'chunk', ...piece });
    }
    return Buffer.from(JSON.stringify({ version: 1, entries: rows }));
  }
}

const types: Readonly<Record<EntryType, string>> = {
  file: 'reg',
  dir: 'dir',
  symlink: 'symlink',
  hardlink: 'hardlink',
  char: 'char',
  block: 'block',
  fifo: 'fifo',
};

/** What is 0 or empty is left out. */
function rowOf(entry: TarEntry): Record<string, unknown> {
  const { type, path, mode, uid, gid, size, mtimeSec, linkTarget, devMajor, devMinor, xattrs } = entry;
  return {
    name: type === 'dir' ? `${displayPath(path)}/` : displayPath(path),
    type: types[type],
    ...(size > 0 && { size }),
    modtime: time(mtimeSec),
    ...(linkTarget !== '' && { linkName: displayPath(linkTarget) }),
    ...(mode !== 0 && { mode }),
    ...(uid !== 0 && { uid }),
    ...(gid !== 0 && { gid }),
    ...(devMajor !== 0 && { devMajor }),
    ...(devMinor !== 0 && { devMinor }),
    ...(xattrs.length > 0 && {
      xattrs: Object.fromEntries(xattrs.map(({ name, value }) => [name, value.toString('base64')])),
    }),
  };
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** Fills the last block. */
function zeros(size: number): Buffer {
  return Buffer.alloc(paddedSize(size) - size);
}

/** A regular file's ustar header. */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 'latin1');
  header.write('0000444\0', 100, 'latin1');
  header.write('0000000\0'.repeat(2), 108, 'latin1');
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  header.write('00000000000\0', 136, 'latin1');
  header.write('        0', 148, 'latin1'); // the checksum counts as blanks; '0' is the type
  header.write('ustar\0' + '00', 257, 'latin1');
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function footer(tocOffset: number): Buffer {
  const extra = Buffer.from(`${tocOffset.toString(16).padStart(16, '0')}STARGZ`, 'latin1');
  return Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff]), // gzip, deflate, with an extra field
    Buffer.from([4 + extra.length, 0, 0x53, 0x47, extra.length, 0]), // its one subfield, 'SG'
    extra,
    Buffer.from([1, 0, 0, 0xff, 0xff]), // an empty stored block, the last
    Buffer.alloc(8),
  ]);
}
