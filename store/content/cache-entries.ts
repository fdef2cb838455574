// The build cache as a list: results of steps, and directories of cache mounts. What can be filtered, measured and removed.
import { lastBuilds } from './builds.js';
import { listCacheMounts } from './cache-mounts.js';
import { diskBytes } from './disk-bytes.js';
import type { Store } from './handle.js';
import { namedIn, type Reached, reachFrom } from './image-objects.js';
import { leaseAlive } from './lease.js';
import { blobFile, cacheMountDir, layerDir, treeDir } from './paths.js';

export interface CacheEntry {
  /**
   * Of a result: its layer's diffID, or the step's key where it made none; of a cache mount: its directory's name; of a
   * compressed form of a layer: its digest.
   */
  readonly id: string;
  readonly type: 'regular' | 'exec.cachemount' | 'blob.compressed';
  /** For people: the step, or the cache. */
  readonly description: string;
  readonly createdMs: number;
  /** Noted to the hour. */
  readonly usedMs: number;
  /** A running build holds it. */
  readonly inUse: boolean;
  /** An image has the same files: they stay when the entry goes. */
  readonly shared: boolean;
  /** Steps still change it. */
  readonly mutable: boolean;
  /** Its records in the table `cache`. */
  readonly keys: readonly string[];
  /** What lies on the disk for it. */
  readonly paths: readonly string[];
}

/** Everything that builds keep for later ones, in the order in which it was last used. */
export async function listCacheEntries(store: Store): Promise<CacheEntry[]> {
  const held = await heldByLeases(store);
  const entries = [...resultEntries(store, held), ...compressedEntries(store, held), ...(await mountEntries(store))];
  return entries.sort((a, b) => b.usedMs - a.usedMs || (a.id < b.id ? -1 : 1));
}

/** Allocated bytes of an entry, whoever else has them too. */
export function entryBytes(entry: CacheEntry): number {
  return entry.paths.reduce((sum, path) => sum + diskBytes(path), 0);
}

/** Allocated bytes of a cache mount's files. */
export function cacheMountBytes(store: Store, name: string): number {
  return diskBytes(cacheMountDir(store.dir, name));
}

/** Steps that came to the same layer are one entry: it goes with all of them or not at all. */
function resultEntries(store: Store, held: Reached): CacheEntry[] {
  const { database, dir } = store;
  const images = imageObjects(store);
  const names = stepNames(store);
  const entries = new Map<string, CacheEntry>();
  for (const { key, diffId, createdMs, usedMs } of database.cache.all()) {
    const id = diffId ?? key;
    const known = entries.get(id);
    if (known !== undefined) {
      const times = { createdMs: Math.min(known.createdMs, createdMs), usedMs: Math.max(known.usedMs, usedMs) };
      entries.set(id, { ...known, ...times, keys: [...known.keys, key] });
      continue;
    }
    entries.set(id, {
      id,
      type: 'regular',
      description: names.get(key) ?? '',
      createdMs,
      usedMs,
      inUse: diffId !== null && held.layers.has(diffId),
      shared: diffId !== null && images.layers.has(diffId),
      mutable: false,
      keys: [key],
      paths: diffId === null ? [] : [layerDir(dir, diffId), treeDir(dir, diffId)],
    });
  }
  return [...entries.values()];
}

/**
 * What layers were compressed to, for a registry or an archive. It can be made again, if perhaps not byte for byte: so what a
 * document of the store names by its digest is part of an image.
 */
function compressedEntries(store: Store, held: Reached): CacheEntry[] {
  const compressed = store.database.compressedBlobs();
  if (compressed.length === 0) return [];
  const named = new Set(store.database.blobs().flatMap(({ digest }) => namedIn(store, digest)?.blobs ?? []));
  return compressed.map(({ diffId, digest, createdMs }) => ({
    id: digest,
    type: 'blob.compressed',
    description: `layer ${diffId.slice(0, 'sha256:'.length + 12)}, compressed`,
    createdMs,
    usedMs: createdMs,
    inUse: held.blobs.has(digest),
    shared: named.has(digest),
    mutable: false,
    keys: [],
    paths: [blobFile(store.dir, digest)],
  }));
}

function imageObjects(store: Store): Reached {
  const reached: Reached = { layers: new Set(), blobs: new Set() };
  const { database } = store;
  for (const root of [...database.tags().map(({ digest }) => digest), ...database.goodDigests()]) {
    reachFrom(store, root, reached);
  }
  return reached;
}

/** What live leases name, and the images among it. */
async function heldByLeases(store: Store): Promise<Reached> {
  const { database, dir } = store;
  const alive = new Set<string>();
  for (const { id } of database.leases.all()) if (await leaseAlive(dir, id)) alive.add(id);
  const spare = new Set(database.compressedBlobs().map(({ digest }) => digest));
  const held: Reached = { layers: new Set(), blobs: new Set(), spare };
  for (const { lease, object } of database.leases.refs()) if (alive.has(lease)) reachFrom(store, object, held);
  return held;
}

/** By key: steps as the progress showed them the last time, as far as the history of builds goes back. */
function stepNames(store: Store): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const { record } of lastBuilds(store, null, Number.MAX_SAFE_INTEGER)) {
    const { steps } = (record ?? {}) as { readonly steps?: unknown };
    for (const step of Array.isArray(steps) ? (steps as { key?: unknown; name?: unknown }[]) : []) {
      const { key, name } = step;
      if (typeof key === 'string' && typeof name === 'string' && !names.has(key)) names.set(key, name);
    }
  }
  return names;
}

async function mountEntries(store: Store): Promise<CacheEntry[]> {
  return (await listCacheMounts(store)).map(({ name, record, inUse, changedMs }) => ({
    id: name,
    type: 'exec.cachemount',
    description:
      record === null ? 'cached mount' : `cached mount ${record.namespace}${record.namespace && '/'}${record.id}`,
    createdMs: record?.createdMs ?? changedMs,
    usedMs: record?.usedMs ?? changedMs,
    inUse,
    shared: false,
    mutable: true,
    keys: [],
    paths: [cacheMountDir(store.dir, name)],
  }));
}
