import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import { SystemError } from './errors.js';
import { nativeFile } from './locate.js';

export interface FileLock {
  readonly path: string;
  /** Gives the lock back; a second call does nothing. The end of the process does it too. */
  close(): void;
}

/**
 * flock(2) on a file, which is created when it is missing. Locks count per call, within one process too.
 *
 * @returns null when someone else holds it and `wait` is false
 * @throws SystemError LOCK_FAILED
 */
export async function lockFile(path: string, mode: 'shared' | 'exclusive', wait: boolean): Promise<FileLock | null> {
  const { lock } = openAddon();
  // Polling, for a blocked flock would hold one of few worker threads, and its holder may be this process.
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const fd = openLockFile(path);
    const errno = lock(fd, mode === 'shared' ? 0 : 1);
    if (errno === 0 && isStill(path, fd)) return heldLock(path, fd);
    closeSync(fd);
    if (errno === 0) continue; // unlinked between open and flock: nobody else will find our inode
    if (errno !== osConstants.errno.EWOULDBLOCK) throw lockFailed(path, getSystemErrorName(-errno));
    if (!wait) return null;
    await sleep(pauseMs);
  }
}

interface Addon {
  /** flock(2) without waiting, 0 shared, 1 exclusive; 0 or an errno. */
  lock(fd: number, mode: 0 | 1): number;
}

let addon: Addon | undefined;

function openAddon(): Addon {
  if (addon !== undefined) return addon;
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, nativeFile('lock.node'));
  addon = module.exports as Addon;
  return addon;
}

function openLockFile(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'EACCES' && errno !== 'EROFS') throw lockFailed(path, errno, error);
  }
  try {
    return openSync(path, constants.O_RDONLY); // flock needs no write access
  } catch (error) {
    throw lockFailed(path, errnoOf(error), error);
  }
}

/** True while `path` names the file that `fd` is. */
function isStill(path: string, fd: number): boolean {
  const named = statSync(path, { throwIfNoEntry: false });
  const opened = fstatSync(fd);
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}

function heldLock(path: string, fd: number): FileLock {
  let open = true;
  return {
    path,
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

function lockFailed(path: string, errno: string, cause?: unknown): SystemError {
  return new SystemError('LOCK_FAILED', {
    message: `could not lock ${path} (${errno})`,
    hint: errno === 'ENOLCK' ? 'put the store on a filesystem that supports flock' : 'check its permissions',
    errno,
    cause,
  });
}
