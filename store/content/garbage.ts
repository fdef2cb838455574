// Garbage collection. Kept is what a tag (or the image a tag would go back to after a power cut), a live lease or a kept
// cache record reaches; everything else goes.
//
// Safe beside running builds by three rules:
// 1. Whoever looks an object up first writes that its lease holds it (Store.protect), then looks. The collector decides and
//    deletes rows inside one write transaction: the lease's row comes before it, and is respected, or after it, and the look-up misses.
// 2. Files get their names and rows under the store's lock held shared, and lose them under the same lock held exclusively: so a file
//    without a row, seen with the lock held, belongs to nobody.
// 3. Files are moved to trash/ before their rows are deleted: killed in between, rows are left without files, and look-ups
//    check for the file. Nothing under the exclusive lock takes longer than renaming and the end of the log.
// 4. What made objects unreferenced is on the disk before their files go: else a power cut would bring back tags of images
//    whose files are gone.
// On a full disk the rows can't be deleted at first; emptying the trash makes the room, then it is tried again.
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Host } from '#native';
import type { DiffId, Digest } from '../words.js';
import { sweepUploads } from './abandoned-uploads.js';
import { sweepBuilds } from './builds.js';
import { type CacheEntry, entryBytes, listCacheEntries } from './cache-entries.js';
import { removeCacheMounts } from './cache-mounts.js';
import { diskBytes } from './disk-bytes.js';
import { diskSpace } from './disk-space.js';
import { hasCode, storeFault, withFaults } from './faults.js';
import { flushLog } from './flush.js';
import type { Store } from './handle.js';
import { type Reached, reachFrom } from './image-objects.js';
import { findDeadLeases, sweepLeases, whileLocked } from './lease.js';
import { dropOldBackups } from './migrate.js';
import * as paths from './paths.js';
import { defaultPolicies, judge, type PrunePolicy, type Verdict } from './prune-policy.js';
import { emptyQuarantine } from './quarantine.js';
import { makeReserve } from './reserve.js';

export interface GarbageOptions {
  /** What of the build cache goes; by default what was not used for 30 days, and what the disk has no room for. */
  readonly policies?: readonly PrunePolicy[] | undefined;
  /** What was found damaged and put aside goes too. */
  readonly quarantine?: boolean | undefined;
  /** Removes trees of subordinate ids. */
  readonly host?: Host | undefined;
}

export interface Freed {
  readonly layers: number;
  readonly trees: number;
  readonly blobs: number;
  readonly images: number;
  readonly cacheRecords: number;
  readonly cacheMounts: number;
  /** What the disk got back. */
  readonly bytes: number;
}

/** Removes what nothing needs any more. @throws StoreError STORE_READ_ONLY */
export async function collectGarbage(store: Store, options: GarbageOptions = {}): Promise<Freed> {
  store.requireWritable();
  const { dir } = store;
  await sweepLeases(dir);
  sweepUploads(dir);
  if (options.quarantine) emptyQuarantine(dir);
  dropOldBackups(dir);
  let bytes = await emptyTrashNow(dir, options.host);
  const verdicts = await judgeCache(store, options.policies);
  let counts: Omit<Freed, 'bytes'>;
  try {
    counts = await sweep(store, verdicts);
  } catch (error) {
    if (!hasCode(storeFault(error, dir), 'STORE_FULL')) throw error;
    bytes += await emptyTrashNow(dir, options.host);
    counts = await sweep(store, verdicts);
  }
  bytes += await emptyTrashNow(dir, options.host);
  store.database.checkpoint();
  makeReserve(dir);
  return { ...counts, bytes };
}

/** What a collection by these policies would do to the build cache. */
export async function judgeCache(
  store: Store,
  policies: readonly PrunePolicy[] = defaultPolicies(diskSpace(store).sizeBytes),
): Promise<readonly Verdict[]> {
  const sizes = new Map<CacheEntry, number>();
  return judge(await listCacheEntries(store), policies, {
    nowMs: Date.now(),
    freeBytes: () => diskSpace(store).freeBytes,
    bytesOf: (entry) => {
      const bytes = sizes.get(entry) ?? (entry.shared ? 0 : entryBytes(entry));
      sizes.set(entry, bytes);
      return bytes;
    },
  });
}

/** What a collection by these policies would remove, were it to happen now. */
export async function planGarbage(store: Store, policies?: readonly PrunePolicy[]): Promise<Freed> {
  const pruned = prunedOf(await judgeCache(store, policies));
  const deadLeases = await findDeadLeases(store);
  const { cacheKeys, layers, blobs, images, trees } = findUnreferenced(store, pruned, deadLeases);
  const { dir } = store;
  const lost = [
    ...layers.map((diffId) => paths.layerDir(dir, diffId)),
    ...blobs.map((digest) => paths.blobFile(dir, digest)),
    ...trees.map((diffId) => paths.treeDir(dir, diffId)),
    ...pruned.mounts.map((name) => paths.cacheMountDir(dir, name)),
  ];
  return {
    layers: layers.length,
    trees: trees.length,
    blobs: blobs.length,
    images: images.length,
    cacheRecords: cacheKeys.length,
    cacheMounts: pruned.mounts.length,
    bytes: lost.reduce((sum, path) => sum + diskBytes(path), 0),
  };
}

interface Pruned {
  /** Of cache records. */
  readonly keys: ReadonlySet<string>;
  readonly mounts: readonly string[];
  /** Compressed forms of layers. */
  readonly blobs: ReadonlySet<Digest>;
}

function prunedOf(verdicts: readonly Verdict[]): Pruned {
  const pruned = verdicts.flatMap(({ entry, removed }) => (removed ? [entry] : []));
  const blobs = pruned.filter(({ type, shared }) => type === 'blob.compressed' && !shared);
  return {
    blobs: new Set(blobs.map(({ id }) => id as Digest)),
    keys: new Set(pruned.flatMap((entry) => entry.keys)),
    mounts: pruned.filter(({ type }) => type === 'exec.cachemount').map(({ id }) => id),
  };
}

async function sweep(store: Store, verdicts: readonly Verdict[]): Promise<Omit<Freed, 'bytes'>> {
  const deadLeases = await findDeadLeases(store);
  const pruned = prunedOf(verdicts);
  const cacheMounts = (await removeCacheMounts(store, pruned.mounts)).length;
  flushLog(store.dir); // most of it while nobody waits
  return whileLocked(store.dir, 'exclusive', () =>
    store.database.transaction(() => {
      const { database } = store;
      const { cacheKeys, kept, layers, blobs, images, trees } = findUnreferenced(store, pruned, deadLeases);
      for (const id of deadLeases) database.leases.delete(id);
      for (const key of cacheKeys) database.cache.delete(key);
      flushLog(store.dir);
      const lost = trashUnlisted(store, kept);
      for (const diffId of layers) database.deleteLayer(diffId);
      for (const digest of blobs) database.deleteBlob(digest);
      for (const digest of images) database.deleteImage(digest);
      for (const diffId of trees) database.deleteTree(diffId);
      database.repositories.sweep();
      sweepBuilds(store);
      return {
        layers: Math.max(layers.length, lost.layers),
        trees: Math.max(trees.length, lost.trees),
        blobs: Math.max(blobs.length, lost.blobs),
        images: images.length,
        cacheRecords: cacheKeys.length,
        cacheMounts,
      };
    }),
  );
}

interface Unreferenced {
  /** Of cache records that were to go, or whose layer is gone. */
  readonly cacheKeys: readonly string[];
  readonly kept: Reached;
  readonly layers: readonly DiffId[];
  readonly blobs: readonly Digest[];
  readonly images: readonly Digest[];
  readonly trees: readonly DiffId[];
}

/** What nothing refers to once `pruned` is gone. */
function findUnreferenced(store: Store, pruned: Pruned, deadLeases: ReadonlySet<string>): Unreferenced {
  const { database } = store;
  const cacheKeys: string[] = [];
  const cached: DiffId[] = [];
  for (const { key, diffId } of database.cache.all()) {
    if (pruned.keys.has(key) || (diffId !== null && database.layer(diffId) === null)) cacheKeys.push(key);
    else if (diffId !== null) cached.push(diffId);
  }
  const kept = reachable(store, cached, pruned.blobs, (id) => deadLeases.has(id));
  const isLost = (digest: Digest): boolean => !kept.blobs.has(digest);
  const isLostLayer = (diffId: DiffId): boolean => !kept.layers.has(diffId);
  return {
    cacheKeys,
    kept,
    layers: database
      .layers()
      .map(({ diffId }) => diffId)
      .filter(isLostLayer),
    blobs: database
      .blobs()
      .map(({ digest }) => digest)
      .filter(isLost),
    images: database
      .images()
      .map(({ digest }) => digest)
      .filter(isLost),
    trees: database.trees().filter(isLostLayer),
  };
}

function reachable(
  store: Store,
  layers: readonly DiffId[],
  spare: ReadonlySet<Digest>,
  isDead: (lease: string) => boolean,
): Reached {
  const reached: Reached = { layers: new Set(), blobs: new Set(), spare };
  const roots: Digest[] = [
    ...store.database.tags().map(({ digest }) => digest),
    ...store.database.goodDigests(),
    ...store.database.leases.refs().flatMap(({ lease, object }) => (isDead(lease) ? [] : [object])),
    ...store.database.repositories.kept(Date.now()),
    ...layers,
  ];
  for (const root of roots) reachFrom(store, root, reached);
  addReferrers(store, reached);
  return reached;
}

/** What clients of `serve` said about something that is kept, and about that in turn. */
function addReferrers(store: Store, reached: Reached): void {
  const bySubject = new Map<Digest, Digest[]>();
  for (const { subject, digest } of store.database.repositories.allReferrers()) {
    const known = bySubject.get(subject);
    if (known === undefined) bySubject.set(subject, [digest]);
    else known.push(digest);
  }
  if (bySubject.size === 0) return;
  // A set gives what is added while it is walked, too.
  for (const digest of reached.blobs) for (const about of bySubject.get(digest) ?? []) reachFrom(store, about, reached);
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
export async function emptyTrashNow(dir: string, host: Host | undefined): Promise<number> {
  const trash = paths.trashDir(dir);
  const items = readdirSync(trash).map((name) => join(trash, name));
  if (items.length === 0) return 0;
  const before = diskBytes(trash);
  if (host !== undefined) await withFaults(dir, () => host.remove(items));
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
