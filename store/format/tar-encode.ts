// Drafts → the parts of their tar. Deterministic: the same drafts give the same bytes, on every machine.
//
// Members in byte order of their paths (so parents come first), ustar where it can say everything and PAX records
// where it can't, numeric ids only, no access or change times, hardlinks to the first of their names, contents at
// 512-byte boundaries, and two zero blocks at the end (no padding to records of 10 KiB: no reader of layers wants it).
import type { AssemblePart, ContentRef, RawPath } from '#native';
import { StoreError } from '../errors.js';
import type { DraftEntry, EntryMeta, EntryType, TarEntry } from './entry.js';
import { formatTime, maxExtendedBytes, paxRecord, xattrKey } from './pax.js';
import { blockSize, checksumOf, fields, paddedSize, writeOctal, writeText } from './tar-block.js';
import { TarParts } from './tar-parts.js';
import { checkLinkText, cleanPath, quote } from './tar-path.js';

export interface EncodedTar {
  readonly parts: AssemblePart[];
  /** What `scanTar` would find in the assembled tar. */
  readonly entries: TarEntry[];
  readonly size: number;
  /** By index into `parts`: the member whose whole content the part is. Contents given as bytes lie in the literals. */
  readonly fileParts: ReadonlyMap<number, RawPath>;
}

/** @throws StoreError TAR_PATH_INVALID, TAR_LINK_INVALID, TAR_XATTRS_TOO_LARGE, TAR_SPARSE_TOO_LARGE */
export function encodeTar(drafts: readonly DraftEntry[]): EncodedTar {
  const parts = new TarParts();
  const entries: TarEntry[] = [];
  const fileParts = new Map<number, RawPath>();
  for (const draft of firstNamesFirst(inOrder(drafts))) {
    writeMember(parts, draft);
    entries.push(entryOf(draft, parts.size));
    if (draft.size > 0 && draft.type === 'file') writeContent(parts, draft, fileParts);
  }
  parts.literal(2 * blockSize);
  return { parts: parts.finish(), entries, size: parts.size, fileParts };
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

function writeMember(parts: TarParts, draft: DraftEntry): void {
  const { path, type } = draft;
  if (path !== '') cleanPath(path, parts.size);
  if (type === 'symlink') checkLinkText(draft.linkTarget, path, parts.size);
  const name = path === '' ? './' : type === 'dir' ? `${path}/` : path;
  const split = splitName(name);
  const records = paxRecords(draft, split === null ? name : null);
  if (records.length > 0) writeExtended(parts, records, path);

  const at = parts.literal(blockSize);
  const block = parts.buffer;
  const prefixLength = split ?? 0;
  writeText(block, at, prefixLength === 0 ? name.slice(0, 100) : name.slice(prefixLength + 1));
  if (prefixLength > 0) writeText(block, at + fields.prefix[0], name.slice(0, prefixLength));
  if (draft.linkTarget !== '') writeText(block, at + fields.linkName[0], draft.linkTarget.slice(0, 100));
  if (type === 'char' || type === 'block') {
    writeOctal(block, at + fields.devMajor[0], at + fields.devMajor[1], draft.devMajor);
    writeOctal(block, at + fields.devMinor[0], at + fields.devMinor[1], draft.devMinor);
  }
  writeNumbers(parts, at, typeFlags[type], draft);
}

/** What the header's fields can't say, one character a byte. */
function paxRecords(draft: DraftEntry, longName: string | null): string {
  let text = longName === null ? '' : paxRecord('path', longName);
  if (draft.linkTarget.length > 100) text += paxRecord('linkpath', draft.linkTarget);
  if (draft.uid > maxSmallOctal) text += paxRecord('uid', String(draft.uid));
  if (draft.gid > maxSmallOctal) text += paxRecord('gid', String(draft.gid));
  if (draft.size > maxLargeOctal) text += paxRecord('size', String(draft.size));
  if (draft.mtimeNsec !== 0 || draft.mtimeSec < 0 || draft.mtimeSec > maxLargeOctal) {
    text += paxRecord('mtime', formatTime(draft.mtimeSec, draft.mtimeNsec));
  }
  for (const { name, value } of sortedXattrs(draft)) text += paxRecord(xattrKey(name), value.toString('latin1'));
  return text;
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

function writeExtended(parts: TarParts, records: string, path: RawPath): void {
  const { length } = records;
  if (length > maxExtendedBytes) {
    throw new StoreError('TAR_XATTRS_TOO_LARGE', {
      message: `the extended attributes of ${quote(path)} take ${length} bytes`,
      hint: `no engine reads more than ${maxExtendedBytes} bytes of them for one file; remove some`,
    });
  }
  const at = parts.literal(blockSize + paddedSize(length));
  writeText(parts.buffer, at, 'PaxHeaders');
  if (length < 200) writeText(parts.buffer, at + blockSize, records);
  else parts.buffer.write(records, at + blockSize, 'latin1');
  writeNumbers(parts, at, 0x78, { mode: 0o644, uid: 0, gid: 0, size: length, mtimeSec: 0 });
}

type Numbers = Pick<EntryMeta, 'mode' | 'uid' | 'gid' | 'size' | 'mtimeSec'>;

/** The fields that all blocks have; numbers that a PAX record gives are 0 here. */
function writeNumbers(parts: TarParts, at: number, flag: number, numbers: Numbers): void {
  const block = parts.buffer;
  writeOctal(block, at + 100, at + 108, numbers.mode);
  writeOctal(block, at + 108, at + 116, numbers.uid > maxSmallOctal ? 0 : numbers.uid);
  writeOctal(block, at + 116, at + 124, numbers.gid > maxSmallOctal ? 0 : numbers.gid);
  writeOctal(block, at + 124, at + 136, numbers.size > maxLargeOctal ? 0 : numbers.size);
  const hasTime = numbers.mtimeSec >= 0 && numbers.mtimeSec <= maxLargeOctal;
  writeOctal(block, at + 136, at + 148, hasTime ? numbers.mtimeSec : 0);
  block[at + fields.typeflag[0]] = flag;
  writeText(block, at + fields.magic[0], 'ustar\x0000');
  const checksum = checksumOf(parts.words, at);
  writeOctal(block, at + 148, at + 155, checksum); // six digits, NUL, space
  block[at + 155] = 0x20;
}

/** Short contents go into the literals: a part of their own would cost more than the copy. */
const shortBytes = 64 * 1024;

/** Holes of a sparse content become zeros here (a tar member of its own kind would be read by fewer tools); this many at most. */
const maxZeros = 2 ** 36;
const zeros = Buffer.alloc(1 << 20);

function writeContent(parts: TarParts, draft: DraftEntry, fileParts: Map<number, RawPath>): void {
  const { content, size, path } = draft;
  if (!content) throw new Error(`no content for ${path}`);
  if ('bytes' in content) {
    if (content.bytes.length !== size) throw new Error(`${path} has ${content.bytes.length} bytes, not ${size}`);
    if (size <= shortBytes) {
      const at = parts.literal(size); // may replace the buffer
      parts.buffer.set(content.bytes, at);
    } else {
      parts.push({ bytes: content.bytes }, size);
    }
  } else if (content.pieces) {
    writePieces(parts, draft, content, content.pieces);
  } else {
    const { root, path: source, offset } = content;
    fileParts.set(parts.push({ root, path: source, offset, size }, size), path);
  }
  parts.literal(paddedSize(size) - size);
}

function writePieces(
  parts: TarParts,
  draft: DraftEntry,
  content: Exclude<ContentRef, { bytes: Uint8Array }>,
  pieces: readonly (readonly [number, number])[],
): void {
  let written = 0;
  let source = content.offset;
  const fillTo = (end: number): void => {
    if (end - written > maxZeros) throw sparseTooLarge(draft);
    for (let rest = end - written; rest > 0; rest -= zeros.length) {
      parts.push({ bytes: rest < zeros.length ? zeros.subarray(0, rest) : zeros }, Math.min(rest, zeros.length));
    }
    written = end;
  };
  for (const [offset, size] of pieces) {
    fillTo(offset);
    parts.push({ root: content.root, path: content.path, offset: source, size }, size);
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
