// What lies where on the disk, and which image it belongs to. All figures are allocated bytes, as du(1) counts them.
import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import type { DiffId, Digest } from '../words.js';
import { hasCode } from './faults.js';
import type { Store } from './handle.js';
import { type Reached, reachFrom } from './image-objects.js';
import * as paths from './paths.js';

const slash = Buffer.from('/');

export interface ImageUsage {
  readonly digest: Digest;
  /** Tags that point at it. */
  readonly references: readonly string[];
  /** Bytes of its layers' tars, as a reader sees them. */
  readonly logicalBytes: number;
  /** On the disk, shared with other images. */
  readonly sharedBytes: number;
  /** On the disk, for this image only: what removing it would free, unless the build cache keeps it. */
  readonly ownBytes: number;
}

export interface DiskUsage {
  readonly images: readonly ImageUsage[];
  readonly layerBytes: number;
  readonly treeBytes: number;
  readonly blobBytes: number;
  /** The part of layers and trees that no image has: it is there for the build cache, or for running builds. */
  readonly cacheBytes: number;
  readonly cacheRecords: number;
  /** Directories behind cache mounts; part of the other bytes. */
  readonly cacheMountBytes: number;
  /** The database, cache mounts, tags, unfinished and discarded files. */
  readonly otherBytes: number;
  /** All of it: what `du -s` says of the store's directory. */
  readonly totalBytes: number;
}

/** Reads the size of every file in the store. */
export function diskUsage(store: Store): DiskUsage {
  const { dir, database } = store;
  const totalBytes = diskBytes(dir);
  const sizes = new Map<string, number>();
  const measure = (parent: string, kind: string): number => {
    for (const name of readdirSync(parent)) sizes.set(`${kind} sha256:${name}`, diskBytes(join(parent, name)));
    return diskBytes(parent);
  };
  const layerBytes = measure(paths.layersDir(dir), 'layer');
  const treeBytes = measure(paths.treesDir(dir), 'tree');
  const blobBytes = measure(paths.blobsDir(dir), 'blob');

  const users = new Map<string, number>();
  const images = rootsOf(store).map((digest) => {
    const reached: Reached = { layers: new Set(), blobs: new Set() };
    reachFrom(store, digest, reached);
    const keys = [...reached.layers].flatMap((id) => [`layer ${id}`, `tree ${id}`]);
    keys.push(...[...reached.blobs].map((blob) => `blob ${blob}`));
    for (const key of keys) users.set(key, (users.get(key) ?? 0) + 1);
    return { digest, keys, logicalBytes: logicalBytes(store, reached.layers) };
  });

  const tags = database.tags();
  return {
    images: images.map(({ digest, keys, logicalBytes }) => {
      const sum = (isOwn: boolean): number =>
        keys.filter((key) => (users.get(key) === 1) === isOwn).reduce((total, key) => total + (sizes.get(key) ?? 0), 0);
      const references = tags.filter((tag) => tag.digest === digest).map((tag) => tag.reference);
      return { digest, references, logicalBytes, sharedBytes: sum(false), ownBytes: sum(true) };
    }),
    layerBytes,
    treeBytes,
    blobBytes,
    cacheBytes: [...sizes].reduce((total, [key, size]) => total + (key[0] === 'b' || users.has(key) ? 0 : size), 0),
    cacheRecords: database.cacheRecords().length,
    cacheMountBytes: diskBytes(paths.cacheMountsDir(dir)),
    otherBytes: totalBytes - layerBytes - treeBytes - blobBytes,
    totalBytes,
  };
}

/** Allocated bytes of `path` and everything in it; a file with several names counts once. */
export function diskBytes(path: string): number {
  const seen = new Set<string>();
  const visit = (each: Buffer): number => {
    const stat = lstatSync(each, { throwIfNoEntry: false });
    if (stat === undefined || !isNew(stat, seen)) return 0;
    let bytes = stat.blocks * 512;
    if (stat.isDirectory()) for (const name of childrenOf(each)) bytes += visit(Buffer.concat([each, slash, name]));
    return bytes;
  };
  return visit(Buffer.from(path));
}

function isNew(stat: Stats, seen: Set<string>): boolean {
  if (stat.nlink < 2 || stat.isDirectory()) return true;
  const inode = `${stat.dev}:${stat.ino}`;
  if (seen.has(inode)) return false;
  seen.add(inode);
  return true;
}

/** Names as bytes: in trees they need not be UTF-8. Directories of subordinate ids may be closed to us, as they are to du(1). */
function childrenOf(dir: Buffer): Buffer[] {
  try {
    return readdirSync(dir, 'buffer');
  } catch (error) {
    if (hasCode(error, 'EACCES', 'ENOENT')) return [];
    throw error;
  }
}

function rootsOf(store: Store): Digest[] {
  const { database } = store;
  return [
    ...new Set([...database.tags().map(({ digest }) => digest), ...database.images().map(({ digest }) => digest)]),
  ];
}

function logicalBytes(store: Store, layers: Iterable<DiffId>): number {
  return [...layers].reduce((sum, id) => sum + (store.database.layer(id)?.size ?? 0), 0);
}
