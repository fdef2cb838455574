// An existing tar → its entries. Total on hostile input: every byte string gives entries or a coded error, in linear time.
//
// Where the formats leave a choice, the answer is that of Go's archive/tar, since that is what the other engines read
// layers with: types without content have none whatever their size field says, a lone zero block inside is an error,
// what follows the end marker does not matter.
import { closeSync, fstatSync, openSync } from 'node:fs';
import type { Xattr } from '#native';
import { StoreError } from '../errors.js';
import type { TarEntry } from './entry.js';
import { maxExtendedBytes, type PaxRecords, parsePax } from './pax.js';
import { blockSize, checksumOf, fields, paddedSize, readNumber, signedChecksumOf } from './tar-block.js';
import { badHeader, type Extensions, headerNumber, readMember } from './tar-member.js';
import { TarWindow, truncated } from './tar-window.js';

/** Beyond this a layer is taken for an attack on memory. */
const maxEntries = 4_000_000;

/**
 * The members of the tar at `path`, in its order, duplicates and whiteouts included.
 *
 * @param size bytes of the file that count; all of it if left out
 * @throws StoreError TAR_*: whatever is wrong with it, with the offset
 */
export function scanTar(path: string, size?: number): TarEntry[] {
  return [...scanEntries(path, size)];
}

/** The same one by one: a layer of a million members shouldn't have them all in memory at once. */
export function* scanEntries(path: string, size?: number): Generator<TarEntry> {
  const fd = openSync(path, 'r');
  try {
    for (const entry of scanBlocks(new TarWindow(fd, size ?? fstatSync(fd).size))) if (entry !== null) yield entry;
  } finally {
    closeSync(fd);
  }
}

/** Null, again and again, while the next member has not been written yet. */
export function* scanBlocks(tar: TarWindow): Generator<TarEntry | null, void> {
  let count = 0;
  let globals: PaxRecords | null = null;
  let pending = nothing;
  let offset = 0;
  while (offset < tar.size) {
    if (!tar.reaches(offset)) {
      yield null;
      continue;
    }
    const at = tar.block(offset);
    if (isZeroBlock(tar, at)) {
      const next = offset + blockSize;
      if (next < tar.size && !isZeroBlock(tar, tar.block(next))) throw badHeader('a zero block inside', offset);
      break;
    }
    verifyChecksum(tar, at, offset);
    const flag = String.fromCharCode(tar.buffer[at + fields.typeflag[0]]!);
    if (flag === 'x' || flag === 'X') {
      pending = { ...pending, pax: mergePax(globals, parsePax(extension(tar, at, offset), offset)) };
    } else if (flag === 'g') {
      globals = mergePax(globals, withoutMemberKeys(parsePax(extension(tar, at, offset), offset)));
    } else if (flag === 'L') {
      pending = { ...pending, longName: untilNul(extension(tar, at, offset)) };
    } else if (flag === 'K') {
      pending = { ...pending, longLink: untilNul(extension(tar, at, offset)) };
    } else if (flag !== volumeLabel) {
      if (count++ === maxEntries) throw tooManyEntries();
      const extensions = globals !== null && pending.pax === null ? { ...pending, pax: globals } : pending;
      const { entry, end } = readMember(tar, at, offset, extensions);
      yield entry;
      pending = nothing;
      offset = end;
      continue;
    }
    offset += blockSize + (flag === volumeLabel ? 0 : paddedSize(sizeField(tar, at, offset)));
  }
  if (pending !== nothing) throw truncated(offset);
}

const nothing: Extensions = { pax: null, longName: null, longLink: null };

/** GNU tar's `--label`: no file. */
const volumeLabel = 'V';

function isZeroBlock(tar: TarWindow, at: number): boolean {
  for (let i = at >>> 2; i < (at + blockSize) >>> 2; i++) if (tar.words[i] !== 0) return false;
  return true;
}

function verifyChecksum(tar: TarWindow, at: number, offset: number): void {
  const stored = readNumber(tar.buffer, at + fields.checksum[0], at + fields.checksum[1]);
  if (stored === checksumOf(tar.words, at) || stored === signedChecksumOf(tar.buffer, at)) return;
  throw new StoreError('TAR_CHECKSUM', {
    message: `byte ${offset} of the tar should start a header, but the header checksum is wrong`,
    hint: 'the file is damaged or no tar; fetch or make it again',
  });
}

/** The data of an extension header. */
function extension(tar: TarWindow, at: number, offset: number): Buffer {
  const size = sizeField(tar, at, offset);
  if (size > maxExtendedBytes) throw badHeader(`an extension of ${size} bytes`, offset);
  return tar.bytes(offset + blockSize, size);
}

function sizeField(tar: TarWindow, at: number, offset: number): number {
  return headerNumber(tar.buffer, at, fields.size, 'size', offset);
}

function untilNul(data: Buffer): string {
  const nul = data.indexOf(0);
  return data.toString('latin1', 0, nul === -1 ? data.length : nul);
}

/** `later` over `earlier`. */
function mergePax(earlier: PaxRecords | null, later: PaxRecords): PaxRecords {
  if (earlier === null) return later;
  return { ...later, values: new Map([...earlier.values, ...later.values]), xattrs: mergeXattrs(earlier, later) };
}

function mergeXattrs(earlier: PaxRecords, later: PaxRecords): readonly Xattr[] {
  const merged = new Map(earlier.xattrs.map((xattr) => [xattr.name, xattr]));
  for (const xattr of later.xattrs) merged.set(xattr.name, xattr);
  return [...merged.values()];
}

/** What names or measures one member makes no sense in a global header: taken at its word it would give every file one name. */
function withoutMemberKeys(pax: PaxRecords): PaxRecords {
  const values = new Map([...pax.values].filter(([key]) => !isMemberKey(key)));
  return { values, xattrs: pax.xattrs, sparsePairs: [] };
}

function isMemberKey(key: string): boolean {
  return key === 'path' || key === 'linkpath' || key === 'size' || key.startsWith('GNU.sparse.');
}

function tooManyEntries(): StoreError {
  return new StoreError('TAR_TOO_MANY_ENTRIES', {
    message: `the tar has more than ${maxEntries} members`,
    hint: 'no usable layer is that large; do not use this one',
  });
}
