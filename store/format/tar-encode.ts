// Drafts → the parts of their tar. Deterministic: the same drafts give the same bytes, on every machine.
//
// Members in byte order of their paths (so parents come first), ustar where it can say everything and PAX records
// where it can't, numeric ids only, no access or change times, hardlinks to the first of their names, contents at
// 512-byte boundaries, and two zero blocks at the end (no padding to records of 10 KiB: no reader of layers wants it).
import { Assembly, type ContentRef, type RawPath } from '#native';
import { StoreError } from '../errors.js';
import type { DraftEntry, EntryMeta, EntryType, TarEntry } from './entry.js';
import { formatTime, maxExtendedBytes, paxRecord, xattrKey } from './pax.js';
import { blockSize, paddedSize } from './tar-block.js';
import { checkLinkText, cleanPath, quote } from './tar-path.js';

export interface EncodedTar {
  readonly parts: Assembly;
  /** What `scanTar` would find in the assembled tar. */
  readonly entries: TarEntry[];
  readonly size: number;
  /** By number of the part: the member whose whole content it is. Contents given as bytes are parts without a digest. */
  readonly fileParts: ReadonlyMap<number, RawPath>;
}

/** The tar as far as it is written. */
interface Writer {
  readonly parts: Assembly;
  /** Bytes so far. */
  size: number;
  readonly fileParts: Map<number, RawPath>;
}

/** Of a member in the packed parts, as a guess. */
const partBytes = 200;

/** @throws StoreError TAR_PATH_INVALID, TAR_LINK_INVALID, TAR_XATTRS_TOO_LARGE, TAR_SPARSE_TOO_LARGE */
export function encodeTar(drafts: readonly DraftEntry[]): EncodedTar {
  const tar: Writer = { parts: new Assembly(drafts.length * partBytes), size: 0, fileParts: new Map() };
  const entries: TarEntry[] = [];
  for (const draft of firstNamesFirst(inOrder(drafts))) {
    writeMember(tar, draft);
    entries.push(entryOf(draft, tar.size));
    if (draft.size > 0 && draft.type === 'file') writeContent(tar, draft);
  }
  writeZeros(tar, 2 * blockSize);
  return { parts: tar.parts, entries, size: tar.size, fileParts: tar.fileParts };
}

function inOrder(drafts: readonly DraftEntry[]): readonly DraftEntry[] {
  for (let i = 1; i < drafts.length; i++) {
    if (drafts[i - 1]!.path > drafts[i]!.path) {
      return [...drafts].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
    }
  }
  return drafts;
}

/** Gives the content to the first of each file's names, where the caller gave it to another. */
function firstNamesFirst(drafts: readonly DraftEntry[]): readonly DraftEntry[] {
  if (!drafts.some((draft) => draft.type === 'hardlink' && draft.path < draft.linkTarget)) return drafts;
  const firstNames = new Map<RawPath, RawPath>();
  for (const { type, path, linkTarget } of drafts) {
    if (type === 'hardlink' && path < linkTarget && !firstNames.has(linkTarget)) firstNames.set(linkTarget, path);
  }
  const owners = new Map(drafts.filter(({ path }) => firstNames.has(path)).map((draft) => [draft.path, draft]));
  return drafts.map((draft) => {
    const first = firstNames.get(draft.type === 'hardlink' ? draft.linkTarget : draft.path);
    if (first === undefined) return draft;
    if (draft.path !== first) return { ...withoutContent(draft), type: 'hardlink', linkTarget: first };
    const owner = owners.get(draft.linkTarget);
    if (!owner) throw new Error(`hardlink ${draft.path} to ${draft.linkTarget}, which is not in the layer`);
    return { ...owner, path: first };
  });
}

function withoutContent({ content: _, ...meta }: DraftEntry): DraftEntry {
  return { ...meta, size: 0, xattrs: [], devMajor: 0, devMinor: 0 };
}

function entryOf(draft: DraftEntry, dataOffset: number): TarEntry {
  return {
    path: draft.path,
    type: draft.type,
    mode: draft.mode,
    uid: draft.uid,
    gid: draft.gid,
    size: draft.size,
    mtimeSec: draft.mtimeSec,
    mtimeNsec: draft.mtimeNsec,
    linkTarget: draft.linkTarget,
    devMajor: draft.devMajor,
    devMinor: draft.devMinor,
    xattrs: sortedXattrs(draft),
    dataOffset,
  };
}

function sortedXattrs({ xattrs }: EntryMeta): EntryMeta['xattrs'] {
  return xattrs.length < 2 ? xattrs : [...xattrs].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Larger values don't fit into the digits of their fields. */
const maxSmallOctal = 0o7777777;
const maxLargeOctal = 0o77777777777;

function writeMember(tar: Writer, draft: DraftEntry): void {
  const { path, type, linkTarget } = draft;
  if (path !== '') cleanPath(path, tar.size);
  if (type === 'symlink') checkLinkText(linkTarget, path, tar.size);
  const name = path === '' ? './' : type === 'dir' ? `${path}/` : path;
  const split = splitName(name);
  const before = recordsBeforeTime(draft, split === null ? name : null);
  const after = draft.xattrs.length === 0 ? '' : xattrRecords(draft);
  const bytes = blockSize + extendedBytes(draft, before.length + after.length);
  const header = { bytes, typeFlag: typeFlags[type], name, prefixLength: split ?? 0, before, after };
  tar.parts.member(draft, header);
  tar.size += bytes;
}

/** What the header's fields can't say, one character a byte: in this order, with the time before the attributes. */
function recordsBeforeTime(draft: DraftEntry, longName: string | null): string {
  let text = longName === null ? '' : paxRecord('path', longName);
  if (draft.linkTarget.length > 100) text += paxRecord('linkpath', draft.linkTarget);
  if (draft.uid > maxSmallOctal) text += paxRecord('uid', String(draft.uid));
  if (draft.gid > maxSmallOctal) text += paxRecord('gid', String(draft.gid));
  if (draft.size > maxLargeOctal) text += paxRecord('size', String(draft.size));
  return text;
}

function xattrRecords(draft: DraftEntry): string {
  return sortedXattrs(draft)
    .map(({ name, value }) => paxRecord(xattrKey(name), value.toString('latin1')))
    .join('');
}

/** Bytes of the extended header; 0 if none is needed. */
function extendedBytes({ path, mtimeSec, mtimeNsec }: DraftEntry, otherRecords: number): number {
  const hasTime = mtimeNsec !== 0 || mtimeSec < 0 || mtimeSec > maxLargeOctal;
  if (otherRecords === 0) return hasTime ? 2 * blockSize : 0;
  const length = otherRecords + (hasTime ? paxRecord('mtime', formatTime(mtimeSec, mtimeNsec)).length : 0);
  if (length > maxExtendedBytes) throw xattrsTooLarge(path, length);
  return blockSize + paddedSize(length);
}

function xattrsTooLarge(path: RawPath, length: number): StoreError {
  return new StoreError('TAR_XATTRS_TOO_LARGE', {
    message: `the extended attributes of ${quote(path)} take ${length} bytes`,
    hint: `no engine reads more than ${maxExtendedBytes} bytes of them for one file; remove some`,
  });
}

const typeFlags: Readonly<Record<EntryType, number>> = {
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  char: 0x33,
  block: 0x34,
  dir: 0x35,
  fifo: 0x36,
};

/** 0 if `name` fits as it is, else the length of the prefix before the slash that splits it; null if none does. */
function splitName(name: string): number | null {
  if (name.length <= 100) return 0;
  if (name.length > 256) return null;
  const slash = name.lastIndexOf('/', Math.min(155, name.length - 2));
  return slash > 0 && name.length - slash - 1 <= 100 ? slash : null;
}

/** Holes of a sparse content become zeros here (a tar member of its own kind would be read by fewer tools); this many at most. */
const maxZeros = 2 ** 36;

function writeContent(tar: Writer, draft: DraftEntry): void {
  const { content, size, path } = draft;
  if (!content) throw new Error(`no content for ${path}`);
  if ('bytes' in content) {
    if (content.bytes.length !== size) throw new Error(`${path} has ${content.bytes.length} bytes, not ${size}`);
    tar.parts.bytes(content.bytes);
  } else if (content.pieces) {
    writePieces(tar, draft, content, content.pieces);
  } else {
    tar.fileParts.set(tar.parts.file(content.root, content.path, content.offset, size), path);
  }
  tar.size += size;
  writeZeros(tar, paddedSize(size) - size);
}

function writeZeros(tar: Writer, length: number): void {
  if (length === 0) return;
  tar.parts.zeros(length);
  tar.size += length;
}

function writePieces(
  { parts }: Writer,
  draft: DraftEntry,
  content: Exclude<ContentRef, { bytes: Uint8Array }>,
  pieces: readonly (readonly [number, number])[],
): void {
  let written = 0;
  let source = content.offset;
  const fillTo = (end: number): void => {
    if (end - written > maxZeros) throw sparseTooLarge(draft);
    if (end > written) parts.zeros(end - written);
    written = end;
  };
  for (const [offset, size] of pieces) {
    fillTo(offset);
    parts.file(content.root, content.path, source, size);
    source += size;
    written += size;
  }
  fillTo(draft.size);
}

function sparseTooLarge({ path, size }: DraftEntry): StoreError {
  return new StoreError('TAR_SPARSE_TOO_LARGE', {
    message: `the sparse file ${quote(path)} is ${size} bytes large when its holes are filled`,
    hint: 'make the file where it is needed instead of copying it between layers',
  });
}
