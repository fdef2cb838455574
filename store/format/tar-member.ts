// One member of a tar: what its header block and the extension headers before it say together.
import type { RawPath, Xattr } from '#native';
import { StoreError } from '../errors.js';
import type { EntryType, TarEntry } from './entry.js';
import { type PaxRecords, parseDecimal, parseTime } from './pax.js';
import { blockSize, fields, paddedSize, readNumber, readText } from './tar-block.js';
import { checkLinkText, cleanPath, quote } from './tar-path.js';
import { readGnuSparse, readPaxSparse, type SparseMap } from './tar-sparse.js';
import { type TarWindow, truncated } from './tar-window.js';

/** What extension headers said about the next member. */
export interface Extensions {
  readonly pax: PaxRecords | null;
  /** GNU 'L' and 'K'. */
  readonly longName: string | null;
  readonly longLink: string | null;
}

/** The member whose header lies at `offset` (at `at` in the window), and where the next header is. */
export function readMember(
  tar: TarWindow,
  at: number,
  offset: number,
  extensions: Extensions,
): { entry: TarEntry; end: number } {
  const { buffer } = tar;
  const { pax } = extensions;
  const flag = String.fromCharCode(buffer[at + 156]!);
  const name = extensions.longName ?? (paxText(pax, 'path') || headerName(buffer, at, flag));
  const type = memberType(flag, name, offset);
  const path = cleanPath(sparseName(pax) || name, offset);
  if (path === '' && type !== 'dir') throw rootIsNoDirectory(offset);
  const time = paxTime(pax, offset);
  const isDevice = type === 'char' || type === 'block';
  const meta = {
    path,
    type,
    mode: headerNumber(buffer, at, fields.mode, 'mode', offset) & 0o7777,
    uid: ownerId(buffer, at, fields.uid, pax, 'uid', offset),
    gid: ownerId(buffer, at, fields.gid, pax, 'gid', offset),
    size: 0,
    mtimeSec: time ? time.sec : headerTime(buffer, at, offset),
    mtimeNsec: time ? time.nsec : 0,
    linkTarget: linkTarget(buffer, at, offset, type, path, extensions),
    devMajor: isDevice ? deviceNumber(buffer, at, fields.devMajor, 0xfff, offset) : 0,
    devMinor: isDevice ? deviceNumber(buffer, at, fields.devMinor, 0xfffff, offset) : 0,
    xattrs: pax ? pax.xattrs : noXattrs,
    dataOffset: offset + blockSize,
  };
  if (type !== 'file') return { entry: meta, end: offset + blockSize };

  // From here on the window may move: nothing below reads the header block again.
  const storedSize = paxNumber(pax, 'size', offset) ?? headerNumber(buffer, at, fields.size, 'size', offset);
  const sparse = readSparse(tar, at, offset, flag, pax, storedSize);
  const dataStart = flag === 'S' && sparse ? sparse.dataOffset : offset + blockSize;
  if (dataStart + storedSize > tar.size) throw truncated(offset);
  const end = dataStart + paddedSize(storedSize); // beyond the tar's end where the padding of its last content is missing
  meta.size = storedSize;
  if (!sparse) return { entry: meta, end };
  meta.size = sparse.realSize;
  meta.dataOffset = sparse.dataOffset;
  checkSparseData(sparse, dataStart + storedSize, offset);
  return { entry: { ...meta, sparse: { realSize: sparse.realSize, pieces: sparse.pieces } }, end };
}

const noXattrs: readonly Xattr[] = [];

const typeOfFlag: Readonly<Record<string, EntryType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'dir',
  '6': 'fifo',
  '7': 'file', // contiguous: a hint for file systems of old
  S: 'file',
};

function memberType(flag: string, name: string, offset: number): EntryType {
  if (flag === '\0' && name.endsWith('/')) return 'dir'; // before POSIX a directory was a name with a slash
  const type = typeOfFlag[flag];
  if (type !== undefined) return type;
  throw new StoreError('TAR_TYPE_UNSUPPORTED', {
    message: `the tar member ${quote(name)} (header at byte ${offset}) is of the unknown type ${quote(flag)}`,
    hint: 'make the tar again in the ustar, pax or gnu format, without incremental or multi-volume options',
  });
}

function headerName(buffer: Buffer, at: number, flag: string): string {
  const name = readText(buffer, at, at + 100);
  const prefix = headerPrefix(buffer, at, flag);
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** POSIX has a prefix of 155 bytes, star one of 131 before its times; GNU has other fields there. */
function headerPrefix(buffer: Buffer, at: number, flag: string): string {
  const magic = buffer.toString('latin1', at + 257, at + 263);
  if (magic === 'ustar\0') {
    const isStar = buffer.toString('latin1', at + 508, at + 512) === 'tar\0';
    return readText(buffer, at + 345, at + (isStar ? 476 : 500));
  }
  if (magic !== 'ustar ' || flag === 'S' || buffer[at + 345] === 0) return '';
  // Go before 1.8 wrote the prefix under GNU's magic too; GNU's access time there is a number.
  return Number.isNaN(readNumber(buffer, at + 345, at + 357)) ? readText(buffer, at + 345, at + 500) : '';
}

function sparseName(pax: PaxRecords | null): string | undefined {
  return pax === null ? undefined : pax.values.get('GNU.sparse.name');
}

function paxText(pax: PaxRecords | null, key: string): string | undefined {
  return pax === null ? undefined : pax.values.get(key);
}

/** Null where there is no such record, or an empty one, which says "as in the header". */
function paxNumber(pax: PaxRecords | null, key: string, offset: number): number | null {
  const text = paxText(pax, key);
  if (!text) return null;
  const value = parseDecimal(text);
  if (value === null) throw badHeader(`a wrong ${key} in its extended header`, offset);
  return value;
}

function paxTime(pax: PaxRecords | null, offset: number): { sec: number; nsec: number } | null {
  const text = paxText(pax, 'mtime');
  if (!text) return null;
  const time = parseTime(text);
  if (time === null) throw badHeader('a wrong mtime in its extended header', offset);
  return time;
}

function headerTime(buffer: Buffer, at: number, offset: number): number {
  const value = readNumber(buffer, at + fields.mtime[0], at + fields.mtime[1]);
  if (Number.isNaN(value)) throw badHeader('a wrong mtime', offset);
  return value;
}

/** @throws StoreError TAR_HEADER_INVALID: no number, or a negative one */
export function headerNumber(
  buffer: Buffer,
  at: number,
  field: readonly [number, number],
  what: string,
  offset: number,
): number {
  const value = readNumber(buffer, at + field[0], at + field[1]);
  if (value >= 0) return value; // false for NaN
  throw badHeader(`a wrong ${what}`, offset);
}

/** 2^32 - 1 means "no change" to chown(2), so no file can have it. */
const maxOwnerId = 0xfffffffe;

function ownerId(
  buffer: Buffer,
  at: number,
  field: readonly [number, number],
  pax: PaxRecords | null,
  key: 'uid' | 'gid',
  offset: number,
): number {
  const value = paxNumber(pax, key, offset) ?? headerNumber(buffer, at, field, key, offset);
  if (value > maxOwnerId) throw badHeader(`the impossible ${key} ${value}`, offset);
  return value;
}

function deviceNumber(buffer: Buffer, at: number, field: readonly [number, number], max: number, offset: number) {
  const value = headerNumber(buffer, at, field, 'device number', offset);
  if (value > max) throw badHeader(`a device number that Linux can't hold (${value})`, offset);
  return value;
}

function linkTarget(
  buffer: Buffer,
  at: number,
  offset: number,
  type: EntryType,
  path: RawPath,
  extensions: Extensions,
): RawPath {
  if (type !== 'symlink' && type !== 'hardlink') return '' as RawPath;
  const text = extensions.longLink ?? (paxText(extensions.pax, 'linkpath') || readText(buffer, at + 157, at + 257));
  return type === 'symlink' ? checkLinkText(text, path, offset) : cleanPath(text, offset);
}

function readSparse(
  tar: TarWindow,
  at: number,
  offset: number,
  flag: string,
  pax: PaxRecords | null,
  storedSize: number,
): SparseMap | null {
  if (flag === 'S') return readGnuSparse(tar, offset, at);
  return pax === null ? null : readPaxSparse(tar, pax, storedSize, offset + blockSize, offset);
}

/** The pieces must find all their bytes inside the member. */
function checkSparseData(sparse: SparseMap, dataEnd: number, offset: number): void {
  let stored = 0;
  for (const [, length] of sparse.pieces) stored += length;
  if (sparse.dataOffset + stored > dataEnd) throw badHeader('a sparse map that asks for more data than it has', offset);
}

export function badHeader(what: string, offset: number): StoreError {
  return new StoreError('TAR_HEADER_INVALID', {
    message: `the tar has ${what} in the header at byte ${offset}`,
    hint: 'the tar is damaged; fetch or make it again',
  });
}

function rootIsNoDirectory(offset: number): StoreError {
  return new StoreError('TAR_ROOT_INVALID', {
    message: `the tar replaces the root directory itself by something else (header at byte ${offset})`,
    hint: 'do not use this layer; whoever made it should be asked why',
  });
}
