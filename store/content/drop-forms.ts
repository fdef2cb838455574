// Indexes and trees are made from tars, and can be dropped: whoever needs one makes it again (findLayer, makeTree).
import { randomUUID } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '#native';
import { diskBytes } from './disk-bytes.js';
import { storeFault } from './faults.js';
import { emptyTrashNow } from './garbage.js';
import type { Store } from './handle.js';
import { findDeadLeases, whileLocked } from './lease.js';
import * as paths from './paths.js';

export interface DroppedForms {
  readonly indexes: number;
  readonly trees: number;
  /** Layers whose forms stay, because somebody uses them. */
  readonly inUse: number;
  /** What the disk got back. */
  readonly bytes: number;
}

/** Drops the indexes and trees of all layers that no live lease holds. @param host removes files of subordinate ids */
export async function dropForms(store: Store, host?: Host): Promise<DroppedForms> {
  store.requireWritable();
  const { dir, database } = store;
  try {
    const dead = await findDeadLeases(store);
    let bytes = 0;
    const counts = await whileLocked(dir, 'exclusive', () =>
      database.transaction(() => {
        const held = new Set(database.leases.refs().flatMap(({ lease, object }) => (dead.has(lease) ? [] : [object])));
        const trash = (path: string): boolean => {
          if (!existsSync(path)) return false;
          bytes += diskBytes(path);
          renameSync(path, join(paths.trashDir(dir), randomUUID()));
          return true;
        };
        const free = database.layers().filter(({ diffId }) => !held.has(diffId));
        const trees = database.trees().filter((diffId) => !held.has(diffId));
        for (const diffId of trees) {
          trash(paths.treeDir(dir, diffId));
          database.deleteTree(diffId);
        }
        const indexes = free.filter(({ diffId }) => trash(paths.indexPath(dir, diffId)));
        return { indexes: indexes.length, trees: trees.length, inUse: database.layers().length - free.length };
      }),
    );
    await emptyTrashNow(dir, host);
    return { ...counts, bytes };
  } catch (error) {
    throw storeFault(error, dir);
  }
}
