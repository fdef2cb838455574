// The batches that run inside this process, on worker threads. What steps wrote is reached through Host instead.
import { availableParallelism } from 'node:os';
import { decodeRemove, encodeRemove } from './apply-codec.js';
import { decodeAssemble, decodeHash, encodeAssemble, encodeHash, type FileRef } from './assemble-codec.js';
import { openLibrary } from './library.js';
import type { AssembleRequest, AssembleResult, FileStat, WalkOptions } from './types.js';
import { decodeWalk, encodeWalk } from './walk-codec.js';

/** Files below this number are hashed in one call: a second thread would cost more than it saves. */
const FILES_PER_THREAD = 64;

/**
 * Everything lstat(2) says about `dir` and all that is in it, sorted by byte order of the path, '' (itself) first.
 * Symlinks are not followed; nothing but directories is opened.
 *
 * @throws SystemError WALK_FAILED, FILE_CHANGED
 */
export async function walkTree(dir: string, options: WalkOptions): Promise<FileStat[]> {
  const library = await openLibrary();
  return decodeWalk(await library.run('walk', encodeWalk(dir, options)), dir);
}

/**
 * Puts a tar together from literal bytes and files, in one read pass. A part from offset 0 must be the whole file.
 *
 * @throws SystemError READ_FAILED, FILE_CHANGED, WRITE_FAILED, DISK_FULL; whatever is thrown, no output is left
 */
export async function assembleTar(request: AssembleRequest): Promise<AssembleResult> {
  const library = await openLibrary();
  return decodeAssemble(await library.run('assemble', encodeAssemble(request)));
}

/** Lower-case hex SHA-256 of whole files, in their order. @throws SystemError READ_FAILED, FILE_CHANGED */
export async function hashFiles(files: readonly FileRef[]): Promise<string[]> {
  if (files.length === 0) return [];
  const library = await openLibrary();
  const threads = Math.min(availableParallelism(), Math.ceil(files.length / FILES_PER_THREAD));
  const share = Math.ceil(files.length / threads);
  const shares = Array.from({ length: threads }, (_, i) => files.slice(i * share, (i + 1) * share));
  const digests = await Promise.all(
    shares.map(async (part) => decodeHash(await library.run('hash', encodeHash(part)))),
  );
  return digests.flat();
}

/**
 * Removes directories of ours with everything in them, without following a symlink or entering a mount point.
 * Missing ones are fine.
 *
 * @throws SystemError REMOVE_FAILED
 */
export async function removeTrees(dirs: readonly string[]): Promise<void> {
  const library = await openLibrary();
  decodeRemove(await library.run('remove', encodeRemove(dirs)));
}
