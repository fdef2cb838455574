// Reading one text of a directory whose author is not trusted with the rest of the machine.
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { isAbsolute, relative, resolve } from 'node:path';

export type TextBeneath =
  | { readonly kind: 'text'; readonly text: string; readonly realPath: string }
  /** `path` or a symlink on its way leads out of the directory. */
  | { readonly kind: 'outside' }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Opens without reading: looking at a pipe or a device is no harm so. See open(2). */
const pathOnly = 0o10000000;

const maxBytes = 16 << 20;

/**
 * The text at `path`, which is relative to `dir`, if both lie in `root`. Symlinks are followed as long as they stay there:
 * what counts is where the file was found that has been opened, so nobody can swap it in between.
 */
export function readTextBeneath(root: string, dir: string, path: string): TextBeneath {
  const top = realpathSync(root);
  const wanted = resolve(top, dir, path);
  if (!isBeneath(top, wanted)) return { kind: 'outside' };
  let fd: number;
  try {
    fd = openSync(wanted, pathOnly | constants.O_NONBLOCK);
  } catch (error) {
    return failure(error);
  }
  try {
    const opened = `/proc/self/fd/${fd}`;
    const realPath = readlinkSync(opened);
    if (!isBeneath(top, realPath)) return { kind: 'outside' };
    const stat = fstatSync(fd);
    if (stat.isDirectory()) return { kind: 'unreadable', reason: 'it is a directory' };
    if (!stat.isFile()) return { kind: 'unreadable', reason: 'it is no regular file' };
    if (stat.size > maxBytes) return { kind: 'unreadable', reason: 'it is larger than 16 MB' };
    const text = readFileSync(opened, 'utf8');
    return text.includes('\0')
      ? { kind: 'unreadable', reason: 'it is no text: it contains NUL bytes' }
      : { kind: 'text', text, realPath };
  } catch (error) {
    return failure(error);
  } finally {
    closeSync(fd);
  }
}

function failure(error: unknown): TextBeneath {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'missing' };
  return { kind: 'unreadable', reason: reasons[code] ?? (error as Error).message };
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  ELOOP: 'its symlinks go in a circle',
  ENAMETOOLONG: 'the name is too long',
};

function isBeneath(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}
