// trash/: what nobody needs any more, on its way out. Everything in it may be removed by anyone at any time.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { lstatSync, opendirSync, readdirSync, renameSync, rmdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '#native';
import { hasCode } from './faults.js';
import { trashDir } from './paths.js';

/** So few files are removed faster than a process is started. */
const smallEntries = 64;

/**
 * Takes `path` out of sight at once. Small things are gone when this returns; large ones are removed by a detached process
 * that this one does not wait for.
 *
 * @param host removes files of subordinate ids, which the caller's own ids can't
 */
export async function discard(store: { readonly dir: string }, path: string, host?: Host): Promise<void> {
  const trash = join(trashDir(store.dir), randomUUID());
  try {
    if (removeEmpty(path)) return;
    renameSync(path, trash);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    // A directory that a step gave to another id can't be moved by us, only removed where it is.
    if (!hasCode(error, 'EACCES', 'EPERM') || host === undefined) throw error;
    await host.remove([path]);
    return;
  }
  if (host?.kind === 'user') await host.remove([trash]);
  else if (isSmall(trash)) await rm(trash, { recursive: true, force: true }).catch(() => removeDetached([trash]));
  else removeDetached([trash]);
}

/** Removes what lies in the trash, without waiting unless it takes the host to do it. */
export async function emptyTrash(dir: string, host?: Host): Promise<void> {
  const paths = readdirSync(trashDir(dir)).map((name) => join(trashDir(dir), name));
  if (paths.length === 0) return;
  if (host?.kind === 'user') await host.remove(paths);
  else removeDetached(paths);
}

/** True if something lies in the trash that was put there more than a minute ago: whoever removed it is gone. */
export function trashForgotten(dir: string): boolean {
  const oldest = Date.now() - 60_000;
  return readdirSync(trashDir(dir)).some((name) => {
    const stat = lstatSync(join(trashDir(dir), name), { throwIfNoEntry: false });
    return stat !== undefined && stat.ctimeMs < oldest;
  });
}

function removeDetached(paths: readonly string[]): void {
  const child = spawn('rm', ['-rf', '--', ...paths], { detached: true, stdio: 'ignore', cwd: '/' });
  child.on('error', () => {
    // No rm(1), or no process: the next sweep tries again.
  });
  child.unref();
}

/** True if `path` was an empty directory, and is gone. */
function removeEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'ENOTDIR')) return false;
    throw error;
  }
}

function isSmall(path: string): boolean {
  let count = 0;
  const visit = (dir: string): boolean => {
    const handle = opendirSync(dir);
    try {
      for (let entry = handle.readSync(); entry !== null; entry = handle.readSync()) {
        count++;
        if (count > smallEntries || (entry.isDirectory() && !visit(join(dir, entry.name)))) return false;
      }
      return true;
    } finally {
      handle.closeSync();
    }
  };
  try {
    return !lstatSync(path).isDirectory() || visit(path);
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM', 'ENOENT')) return false;
    throw error;
  }
}
