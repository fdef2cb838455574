// What the machine's refusals mean for someone who uses a store: errno and SQLite codes → StoreError.
import { statfsSync } from 'node:fs';
import { SystemError } from '#native';
import { StoreError } from '../errors.js';

type Words = readonly [code: string, text: string, hint: string];

const full: Words = [
  'STORE_FULL',
  'no space left',
  "free some with 'tsbuild gc', or put the store on a larger filesystem (--store)",
];

const hints: Readonly<Record<string, Words>> = {
  ENOSPC: full,
  EDQUOT: ['STORE_FULL', 'the disk quota is used up', "free some with 'tsbuild gc', or ask for a larger quota"],
  ENOTDIR: ['STORE_NOT_A_STORE', 'a part of its path is no directory', 'choose another directory with --store'],
  EROFS: ['STORE_READ_ONLY', 'the filesystem is read-only', 'choose a writable directory with --store'],
  EACCES: ['STORE_DENIED', 'permission denied', 'the store belongs to another user: choose another with --store'],
  EPERM: ['STORE_DENIED', 'operation not permitted', 'the store belongs to another user: choose another with --store'],
  EMFILE: ['STORE_TOO_MANY_FILES', 'too many open files', "raise the limit with 'ulimit -n'"],
  ENFILE: ['STORE_TOO_MANY_FILES', "the system's table of open files is full", 'close other programs and retry'],
  EIO: ['STORE_IO', 'input/output error', 'the disk may be failing: look into the kernel log (dmesg)'],
  SQLITE_FULL: full,
  SQLITE_READONLY: ['STORE_READ_ONLY', 'its database is read-only', 'choose a writable directory with --store'],
  SQLITE_CANTOPEN: ['STORE_DENIED', "its database can't be opened", 'check the permissions of the store directory'],
  SQLITE_BUSY: ['STORE_BUSY', 'another process holds its database', 'wait for the other process, or end it'],
  SQLITE_CORRUPT: [
    'STORE_DATABASE_BROKEN',
    'its database is damaged',
    "'tsbuild fsck --repair' makes it anew from layers, blobs and tags",
  ],
  SQLITE_NOTADB: [
    'STORE_DATABASE_BROKEN',
    'its database is damaged',
    "'tsbuild fsck --repair' makes it anew from layers, blobs and tags",
  ],
  SQLITE_IOERR_SHMSIZE: full,
  SQLITE_IOERR: ['STORE_IO', 'input/output error in its database', 'is the disk full or failing? See df and dmesg'],
};

/** The error a person can act on, where `error` is a refusal of the machine; any other error unchanged. */
export function storeFault(error: unknown, where: string): unknown {
  const code = codeOf(error);
  const known = hints[code] ?? hints[code.split('_', 2).join('_')];
  if (known === undefined || error instanceof StoreError) return error;
  const [name, text, hint] = known;
  const message = `store ${where}: ${text}${known === full ? roomText(where) : ''}${name === 'STORE_IO' ? placeText(error) : ''}`;
  return new StoreError(name, { message, hint, cause: error });
}

function codeOf(error: unknown): string {
  // What native says of locks, of what it removes, all files of the store, and of a full disk, is told by its cause.
  const isOurs = error instanceof SystemError && ['LOCK_FAILED', 'REMOVE_FAILED', 'DISK_FULL'].includes(error.code);
  if (isOurs && error.errno !== undefined) return error.errno;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return '';
  return 'errno' in error && error.errno === -quotaErrno ? 'EDQUOT' : error.code;
}

/** EDQUOT, for which node has no name. */
const quotaErrno = 122;

/** What was refused, and of which file, where that is known. */
function placeText(error: unknown): string {
  if (!(error instanceof Error) || !('syscall' in error)) return '';
  return ` (${[error.syscall, 'path' in error ? error.path : undefined].filter(Boolean).join(' ')})`;
}

/** By now, some of what was unfinished is gone again. */
const fewInodes = 32;

/** How much of the disk is free after all: what was wanted may have been more, or the inodes have run out. */
function roomText(path: string): string {
  try {
    const { bavail, blocks, bsize, ffree, files } = statfsSync(path);
    if (files > 0 && ffree < fewInodes) return ' (no inodes are free)';
    const megabytes = (count: number): string => `${((count * bsize) / 1e6).toFixed(1)} MB`;
    return ` (${megabytes(bavail)} of ${megabytes(blocks)} are free)`;
  } catch {
    return '';
  }
}

/** Runs `action`; refusals of the machine come out as StoreErrors about `where`. */
export async function withFaults<T>(where: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storeFault(error, where);
  }
}

/** True for an Error with one of these system codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error && 'code' in error && (codes.includes(String(error.code)) || codes.includes(codeOf(error)))
  );
}
