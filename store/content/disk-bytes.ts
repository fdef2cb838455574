// What files take on the disk: allocated bytes, as du(1) counts them.
import { closeSync, constants, lstatSync, openSync, readdirSync, type Stats } from 'node:fs';
import { hasCode } from './faults.js';

const slash = Buffer.from('/');
/** A longer path is reached by its directory's descriptor: steps can make deeper trees than paths can name (PATH_MAX). */
const longPathBytes = 3000;

/** Allocated bytes of `path` and everything in it; a file with several names counts once. */
export function diskBytes(path: string): number {
  return new DiskCount().bytes(path);
}

/** Counts a file that has several names at the first of them, whatever is counted in between. */
export class DiskCount {
  readonly #seen = new Set<string>();

  /** Allocated bytes of `path` and everything in it that was not counted before; 0 for what is not there. */
  bytes(path: string | Buffer): number {
    let total = 0;
    const left = [typeof path === 'string' ? Buffer.from(path) : path];
    for (let each = left.pop(); each !== undefined; each = left.pop()) {
      const stat = lstatSync(each, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      total += this.#newBytes(stat);
      if (!stat.isDirectory()) continue;
      if (each.length > longPathBytes) total += this.#below(each);
      else for (const name of childrenOf(each)) left.push(Buffer.concat([each, slash, name]));
    }
    return total;
  }

  /** The same of a directory without what is in it, and of a file. */
  ownBytes(path: string): number {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    return stat === undefined ? 0 : this.#newBytes(stat);
  }

  #newBytes(stat: Stats): number {
    if (stat.nlink < 2 || stat.isDirectory()) return stat.blocks * 512;
    const inode = `${stat.dev}:${stat.ino}`;
    if (this.#seen.has(inode)) return 0;
    this.#seen.add(inode);
    return stat.blocks * 512;
  }

  #below(dir: Buffer): number {
    let fd: number;
    try {
      fd = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    } catch (error) {
      if (isClosed(error)) return 0;
      throw error;
    }
    try {
      const base = Buffer.from(`/proc/self/fd/${fd}/`);
      return childrenOf(base).reduce((sum, name) => sum + this.bytes(Buffer.concat([base, name])), 0);
    } finally {
      closeSync(fd);
    }
  }
}

/** Names as bytes: in trees they need not be UTF-8. */
function childrenOf(dir: Buffer): Buffer[] {
  try {
    return readdirSync(dir, 'buffer');
  } catch (error) {
    if (isClosed(error)) return [];
    throw error;
  }
}

/** Directories of subordinate ids may be closed to us, as they are to du(1); others go while we count. */
function isClosed(error: unknown): boolean {
  return hasCode(error, 'EACCES', 'ENOENT', 'ENOTDIR');
}
