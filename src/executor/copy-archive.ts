// ADD of a local archive: what is in it, put below the destination. Whether a file is an archive is decided by its
// content. The archive may be hostile: names and links in it are resolved inside the destination, never on the host.
import { closeSync } from 'node:fs';
import { type ContentRef, displayPath, type RawPath, rawPath } from '#native';
import { type DraftEntry, StoreError, scanTar, type TarEntry } from '#store';
import { BuildError, type Span } from '../base/index.js';
import { requireStorable } from './copy-checks.js';
import { type Compression, decompressTo, detectTar } from './copy-decompress.js';
import { type Destination, draftAt, type Placed } from './copy-destination.js';
import { joinPath, parentPath, resolveLinks } from './copy-links.js';
import type { SourceEntry, SourceTree } from './copy-source.js';
import { materializeSparse } from './copy-sparse.js';
import type { Owner } from './owner.js';

export interface Archive {
  readonly source: SourceTree;
  readonly entry: SourceEntry;
  readonly compression: Compression;
}

/** Null unless the file holds a tar, plain or compressed. @throws BuildError ADD_TOOL_MISSING, CONTEXT_CHANGED */
export async function findArchive(source: SourceTree, entry: SourceEntry, at: Span): Promise<Archive | null> {
  const fd = entry.type === 'file' && entry.size > 0 ? source.open(entry) : null;
  if (fd === null) return null;
  try {
    const compression = await detectTar(fd, entry, at);
    return compression === null ? null : { source, entry, compression };
  } finally {
    closeSync(fd);
  }
}

export interface UnpackTarget {
  readonly to: Destination;
  /** Resolved directory that everything stays below. */
  readonly dest: RawPath;
  /** Null: as the archive says. */
  readonly owner: Owner | null;
  readonly at: Span;
  tempPath(name: string): string;
  readonly maxLayerBytes?: number | undefined;
}

/** @throws BuildError ADD_ARCHIVE_INVALID, COPY_RESERVED_NAME, COPY_UNSUPPORTED_FILE */
export async function unpackArchive(archive: Archive, target: UnpackTarget): Promise<void> {
  const { source, entry, compression } = archive;
  const fd = source.open(entry);
  if (fd === null) throw new Error(`no archive: ${entry.path}`);
  try {
    // Through the descriptor: the path may have become a link to something else.
    let tar: Tar = {
      path: `/proc/self/fd/${fd}`,
      content: (offset) => ({ ...fileContent(entry), offset: fileContent(entry).offset + offset }),
    };
    if (compression !== 'none') {
      const path = target.tempPath('archive');
      await decompressTo(fd, compression, path, entry, target);
      const root = path.slice(0, path.lastIndexOf('/'));
      const name = rawPath(path.slice(root.length + 1));
      tar = { path, content: (offset) => ({ root, path: name, offset }) };
    }
    const unpack = unpacker(tar, target, entry);
    for (const member of scan(tar, entry, target.at)) unpack(member);
  } finally {
    closeSync(fd);
  }
}

interface Tar {
  readonly path: string;
  content(offset: number): ContentRef;
}

function fileContent({ content }: SourceEntry): { root: string; path: RawPath; offset: number } {
  if (content === null || 'bytes' in content) throw new Error('an archive is a file of a context');
  return content;
}

function scan(tar: Tar, entry: SourceEntry, at: Span): TarEntry[] {
  try {
    return scanTar(tar.path);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw invalid(entry, error.message, at, error);
  }
}

function unpacker(tar: Tar, target: UnpackTarget, archive: SourceEntry): (member: TarEntry) => void {
  const { to, dest, at } = target;
  const lookup = (path: RawPath) => to.lookup(joinPath(dest, path));
  const resolve = (path: RawPath): RawPath => {
    const resolved = resolveLinks(lookup, path, false);
    if (resolved === null) throw invalid(archive, 'its symlinks lead in a circle', at);
    return joinPath(dest, resolved);
  };
  return (member) => {
    const path = resolve(member.path); // a directory takes the place of a symlink, even of one to a directory
    if (path === dest) return; // the directory that it was made from
    requireStorable({ ...member, type: member.type === 'hardlink' ? 'file' : member.type }, path, at);
    if (to.lookup(parentPath(path))?.type !== 'dir') replaceParents(to, parentPath(path), dest, archive, at);
    const linked = member.type === 'hardlink' ? linkTo(member) : null;
    if (to.lookup(path)?.type === 'dir' && member.type !== 'dir') to.clear(path);
    if (linked) to.put({ ...linked.draft, path }, linked.link, linked.from);
    else to.put(draftOf(tar, target, member, path), 0, null);
  };

  function linkTo(member: TarEntry): Placed {
    const file = to.linkable(resolve(member.linkTarget));
    if (file === null) {
      const [name, first] = [displayPath(member.path), displayPath(member.linkTarget)];
      throw invalid(archive, `the hardlink ${name} leads to ${first}, which is no file`, at);
    }
    if (file.link === 0) file.link = to.newLink();
    return file;
  }
}

/** Missing parents are root's. */
function replaceParents(to: Destination, path: RawPath, dest: RawPath, archive: SourceEntry, at: Span): void {
  for (let dir = path; dir !== dest && dir !== ''; dir = parentPath(dir)) {
    const there = to.lookup(dir);
    if (there !== null && there.type !== 'dir')
      throw invalid(archive, `${displayPath(dir)} is both a file and a directory`, at);
  }
  to.makeDirectory(path, { uid: 0, gid: 0 });
}

function draftOf(tar: Tar, target: UnpackTarget, member: TarEntry, path: RawPath): DraftEntry {
  const { dataOffset, sparse, type } = member;
  const owner = target.owner ?? member;
  const size = type === 'file' ? (sparse?.realSize ?? member.size) : 0;
  if (size === 0) return draftAt(path, type, { ...member, size, content: null }, owner, member.mode);
  const content = sparse
    ? materializeSparse(tar.path, { dataOffset, ...sparse }, target.tempPath('sparse'))
    : tar.content(dataOffset);
  return draftAt(path, type, { ...member, size, content }, owner, member.mode);
}

function invalid(archive: SourceEntry, why: string, at: Span, cause?: unknown): BuildError {
  return new BuildError('ADD_ARCHIVE_INVALID', {
    message: `can't unpack ${displayPath(archive.path)}: ${why}`,
    hint: 'COPY takes an archive as the file that it is',
    at,
    cause,
  });
}
