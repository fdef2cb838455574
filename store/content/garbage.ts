// Garbage collection. Kept is what a tag (or the image a tag would go back to after a power cut), a live lease or a kept
// cache record reaches; everything else goes.
//
// Safe beside running builds by three rules:
// 1. Whoever looks an object up first writes that its lease holds it (Store.protect), then looks. The collector decides and
//    deletes rows inside one write transaction: the lease's row comes before it, and is respected, or after it, and the look-up misses.
// 2. Files get their names and rows under the store's lock held shared, and lose them under the same lock held exclusively: so a file
//    without a row, seen with the lock held, belongs to nobody.
// 3. Files are moved to trash/ before their rows are deleted: killed in between, rows are left without files, and look-ups
//    check for the file. Nothing under the exclusive lock waits or takes longer than renaming.
// On a full disk the rows can't be deleted at first; emptying the trash makes the room, then it is tried again.
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Host } from '#native';
import type { DiffId, Digest } from '../words.js';
import { sweepBuilds } from './builds.js';
import { hasCode, storeFault } from './faults.js';
import type { Store } from './handle.js';
import { type Reached, reachFrom } from './image-objects.js';
import { leaseAlive, sweepLeases, whileLocked } from './lease.js';
import * as paths from './paths.js';
import { makeReserve } from './reserve.js';
import { diskBytes } from './usage.js';

export interface GarbageOptions {
  /** Cache records used within this time are kept, with their layers; 30 days by default, 0 for none. */
  readonly keepCacheMs?: number | undefined;
  /** Removes trees of subordinate ids. */
  readonly host?: Host | undefined;
}

export interface Freed {
  readonly layers: number;
  readonly trees: number;
  readonly blobs: number;
  readonly images: number;
  readonly cacheRecords: number;
  /** What the disk got back. */
  readonly bytes: number;
}

const defaultKeepCacheMs = 30 * 86_400_000;

/** Removes what nothing needs any more. @throws StoreError STORE_READ_ONLY */
export async function collectGarbage(store: Store, options: GarbageOptions = {}): Promise<Freed> {
  store.requireWritable();
  const { dir } = store;
  await sweepLeases(dir);
  rmSync(paths.quarantineDir(dir), { recursive: true, force: true });
  let bytes = await emptyTrashNow(dir, options.host);
  let counts: Omit<Freed, 'bytes'>;
  try {
    counts = await sweep(store, options);
  } catch (error) {
    if (!hasCode(storeFault(error, dir), 'STORE_FULL')) throw error;
    bytes += await emptyTrashNow(dir, options.host);
    counts = await sweep(store, options);
  }
  bytes += await emptyTrashNow(dir, options.host);
  store.database.checkpoint();
  makeReserve(dir);
  return { ...counts, bytes };
}

async function sweep(store: Store, options: GarbageOptions): Promise<Omit<Freed, 'bytes'>> {
  const alive = new Set<string>();
  const leases = store.database.leases().map(({ id }) => id);
  for (const id of leases) if (await leaseAlive(store.dir, id)) alive.add(id);
  const isDead = (id: string): boolean => leases.includes(id) && !alive.has(id);

  return whileLocked(store.dir, 'exclusive', () =>
    store.database.transaction(() => {
      const { database } = store;
      const cache = sweepCache(store, options.keepCacheMs ?? defaultKeepCacheMs);
      const kept = reachable(store, cache.layers, isDead);
      for (const id of leases) if (isDead(id)) database.deleteLeaseRows(id);

      const layers = database.layers().filter(({ diffId }) => !kept.layers.has(diffId));
      const blobs = database.blobs().filter(({ digest }) => !kept.blobs.has(digest));
      const images = database.images().filter(({ digest }) => !kept.blobs.has(digest));
      const trees = database.trees().filter((diffId) => !kept.layers.has(diffId));
      const lost = trashUnlisted(store, kept);
      for (const { diffId } of layers) database.deleteLayer(diffId);
      for (const { digest } of blobs) database.deleteBlob(digest);
      for (const { digest } of images) database.deleteImage(digest);
      for (const diffId of trees) database.deleteTree(diffId);
      sweepBuilds(store);
      return {
        layers: Math.max(layers.length, lost.layers),
        trees: Math.max(trees.length, lost.trees),
        blobs: Math.max(blobs.length, lost.blobs),
        images: images.length,
        cacheRecords: cache.removed,
      };
    }),
  );
}

/** Drops old cache records, and those whose layer is gone; returns the layers of the others. */
function sweepCache(store: Store, keepMs: number): { readonly layers: DiffId[]; readonly removed: number } {
  const oldest = Date.now() - keepMs;
  const layers: DiffId[] = [];
  let removed = 0;
  for (const { key, diffId, usedMs } of store.database.cacheRecords()) {
    const gone = diffId !== null && store.database.layer(diffId) === null;
    if (!gone && keepMs > 0 && usedMs >= oldest) {
      if (diffId !== null) layers.push(diffId);
      continue;
    }
    store.database.deleteCache(key);
    removed++;
  }
  return { layers, removed };
}

function reachable(store: Store, layers: readonly DiffId[], isDead: (lease: string) => boolean): Reached {
  const reached: Reached = { layers: new Set(), blobs: new Set() };
  const roots: Digest[] = [
    ...store.database.tags().map(({ digest }) => digest),
    ...store.database.goodDigests(),
    ...store.database.leaseRefs().flatMap(({ lease, object }) => (isDead(lease) ? [] : [object])),
    ...layers,
  ];
  for (const root of roots) reachFrom(store, root, reached);
  return reached;
}

/** Moves everything that is not kept to the trash, whether or not it has a row. */
function trashUnlisted(store: Store, kept: Reached): { layers: number; trees: number; blobs: number } {
  const { dir, database } = store;
  const trash = (parent: string, isKept: (digest: Digest) => boolean): number => {
    let count = 0;
    for (const name of readdirSync(parent)) {
      if (isKept(`sha256:${name}`)) continue;
      renameSync(join(parent, name), join(paths.trashDir(dir), randomUUID()));
      count++;
    }
    return count;
  };
  const hasLayer = (digest: Digest): boolean =>
    kept.layers.has(digest as DiffId) && database.layer(digest as DiffId) !== null;
  return {
    layers: trash(paths.layersDir(dir), hasLayer),
    blobs: trash(paths.blobsDir(dir), (digest) => kept.blobs.has(digest) && database.blob(digest) !== null),
    trees: trash(paths.treesDir(dir), (digest) => hasLayer(digest) && database.hasTree(digest as DiffId)),
  };
}

/** Waits: whoever collects garbage wants the room. */
async function emptyTrashNow(dir: string, host: Host | undefined): Promise<number> {
  const trash = paths.trashDir(dir);
  const items = readdirSync(trash).map((name) => join(trash, name));
  if (items.length === 0) return 0;
  const before = diskBytes(trash);
  if (host !== undefined) await host.remove(items);
  else for (const item of items) removeOwn(item);
  return before - diskBytes(trash);
}

/** What belongs to subordinate ids stays in the trash until someone comes with a host. */
function removeOwn(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (!hasCode(error, 'EACCES', 'EPERM', 'ENOTEMPTY') && existsSync(path)) {
      throw storeFault(error, basename(path));
    }
  }
}
