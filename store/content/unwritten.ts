// What the disk refused to write. After a failed fsync(2) the kernel takes the lost pages for written: flushing again would
// succeed, and reading shows them only until memory is short. So such an object is given up at once: it loses its row and
// its name, and a tag whose image needs it goes back to the image it had when it last was flushed.
import { randomUUID } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { join, relative } from 'node:path';
import { StoreError } from '../errors.js';
import type { Store } from './handle.js';
import { imageComplete } from './image-objects.js';
import { whileLocked } from './lease.js';
import * as paths from './paths.js';
import { revertTag } from './recover.js';
import type { Unflushed, Written } from './schema.js';

/**
 * Gives up the objects of `batch` that consist of the files or directories `refused`; all of them if it is the store itself.
 *
 * @returns what to tell people
 */
export async function giveUpUnwritten(store: Store, batch: Unflushed, refused: readonly string[]): Promise<StoreError> {
  const { dir, database } = store;
  const names = refused.map((path) => relative(dir, path));
  /** A row that was written anew since is of other bytes. */
  const lostOf = <Key extends string>(parent: string, rows: readonly Written<Key>[], now: readonly Written<Key>[]) =>
    rows
      .filter(([key, ms]) => now.some(([other, otherMs]) => other === key && otherMs === ms))
      .map(([key]) => key)
      .filter((key) => names.some((name) => isPart(name, `${parent}/${key.replace('sha256:', '')}`)));
  await whileLocked(dir, 'exclusive', () => {
    const lost: string[] = [];
    database.transaction(() => {
      const now = database.unflushed('this boot');
      for (const diffId of lostOf('layers/sha256', batch.layers, now.layers)) {
        database.deleteLayer(diffId);
        lost.push(paths.layerDir(dir, diffId));
      }
      for (const digest of lostOf('blobs/sha256', batch.blobs, now.blobs)) {
        database.deleteBlob(digest);
        lost.push(paths.blobFile(dir, digest));
      }
      for (const diffId of lostOf('trees', batch.trees, now.trees)) {
        database.deleteTree(diffId);
        lost.push(paths.treeDir(dir, diffId));
      }
    });
    for (const path of lost.filter((each) => existsSync(each)))
      renameSync(path, join(paths.trashDir(dir), randomUUID()));
  });
  for (const [reference] of database.unflushed('this boot').tags) {
    const tag = database.tag(reference);
    if (tag !== null && !imageComplete(store, tag.digest)) revertTag(store, reference);
  }
  return new StoreError('STORE_IO', {
    message: `store ${dir}: the disk refused what was written to it (${names.map((name) => name || 'all').join(', ')})`,
    hint: 'what it refused was given up: build or pull it again; the disk may be failing: look into the kernel log (dmesg)',
  });
}

/** True if a flush of `name` is one of (parts of) `object` too: it, a file in it, or a directory around it. */
function isPart(name: string, object: string): boolean {
  return name === '' || name === object || name.startsWith(`${object}/`) || object.startsWith(`${name}/`);
}
