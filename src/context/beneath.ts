// Looking at files of a context whose author may swap a directory for a symlink at any moment: each directory on the
// way is opened by itself and never through a link, and what is asked about it goes through that descriptor.
import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { displayPath, type FileStat, pathBytes, type RawPath } from '#native';
import { BuildError } from '../base/index.js';

/** Calls `use` with the directory open. Null if there is no directory at `dir`, or a symlink on the way to it. */
export function inDirectory<T>(root: string, dir: RawPath, use: (fd: number) => T): T | null {
  const fd = openDirectory(root, dir);
  if (fd === null) return null;
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** A descriptor for the caller to close; null as above. @throws BuildError CONTEXT_UNREADABLE */
export function openDirectory(root: string, dir: RawPath): number | null {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let fd = openSync(root, flags);
  for (const name of dir === '' ? [] : dir.split('/')) {
    try {
      const next = openSync(entryPath(fd, name as RawPath), flags);
      closeSync(fd);
      fd = next;
    } catch (error) {
      closeSync(fd);
      if (isAbsence(error)) return null;
      throw unreadable(dir, error);
    }
  }
  return fd;
}

/** A path to an entry of an open directory, in bytes: names need not be valid UTF-8. */
export function entryPath(fd: number, name: RawPath): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), pathBytes(name)]);
}

/** Names and whether each is a directory (a symlink is none), unordered. */
export function readEntries(fd: number, dir: RawPath): { name: RawPath; isDirectory: boolean }[] {
  try {
    const entries = readdirSync(`/proc/self/fd/${fd}`, { withFileTypes: true, encoding: 'latin1' });
    return entries.map((entry) => ({ name: entry.name as RawPath, isDirectory: entry.isDirectory() }));
  } catch (error) {
    throw unreadable(dir, error);
  }
}

/**
 * What the batch walk would report of the entry `name`, without extended attributes; null if there is none.
 * @throws BuildError CONTEXT_UNREADABLE
 */
export function statEntry(fd: number, name: RawPath, path: RawPath): FileStat | null {
  try {
    return readStat(fd, name, path);
  } catch (error) {
    if (isAbsence(error)) return null; // gone between the look and the reading of a link
    throw unreadable(path, error);
  }
}

function readStat(fd: number, name: RawPath, path: RawPath): FileStat | null {
  const bytes = entryPath(fd, name);
  const stat = lstatSync(bytes, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return null;
  const type = fileType(Number(stat.mode));
  const device = type === 'char' || type === 'block' ? Number(stat.rdev) : 0;
  return {
    path,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: Number(stat.size),
    mtimeSec: seconds(stat.mtimeNs),
    mtimeNsec: nanoseconds(stat.mtimeNs),
    ctimeSec: seconds(stat.ctimeNs),
    ctimeNsec: nanoseconds(stat.ctimeNs),
    dev: Number(stat.dev),
    ino: inodeNumber(stat.ino),
    nlink: Number(stat.nlink),
    rdevMajor: (device >>> 8) & 0xfff,
    rdevMinor: (device & 0xff) | ((device >>> 12) & 0xfff00),
    linkTarget: (type === 'symlink' ? readlinkSync(bytes, { encoding: 'latin1' }) : '') as RawPath,
    xattrs: [],
  };
}

/** As the batch walk folds numbers beyond 2^53, so that both mean the same file. */
export function inodeNumber(ino: bigint): number {
  return Number((ino & ((1n << 53n) - 1n)) ^ ((ino >> 53n) << 42n));
}

const billion = 1_000_000_000n;

/** Rounded down, so that times before 1970 have nanoseconds from 0 up, as the kernel has it. */
function seconds(ns: bigint): number {
  return Number((ns - BigInt(nanoseconds(ns))) / billion);
}

function nanoseconds(ns: bigint): number {
  return Number(((ns % billion) + billion) % billion);
}

function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '');
}

function unreadable(dir: RawPath, error: unknown): BuildError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const reason = code === 'EACCES' ? 'permission denied' : code;
  return new BuildError('CONTEXT_UNREADABLE', {
    message: `can't read ${dir === '' ? 'the build context' : displayPath(dir)}: ${reason}`,
    hint: 'make it readable, or exclude it with .dockerignore',
    cause: error,
  });
}

/** @see inode(7), "The file type and mode" */
function fileType(mode: number): FileStat['type'] {
  switch (mode & 0o170000) {
    case 0o040000:
      return 'dir';
    case 0o120000:
      return 'symlink';
    case 0o020000:
      return 'char';
    case 0o060000:
      return 'block';
    case 0o010000:
      return 'fifo';
    case 0o140000:
      return 'socket';
    default:
      return 'file';
  }
}
