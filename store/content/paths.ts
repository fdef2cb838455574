// Where things lie in a store directory. @see store/FORMAT.md
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { DiffId, Digest } from '../words.js';

export const formatPath = (dir: string): string => join(dir, 'format.json');
export const databasePath = (dir: string): string => join(dir, 'meta.db');
/** The database as it was when a store of this version was brought up to date. */
export const backupPath = (dir: string, version: number): string => join(dir, `meta.db.v${version}`);
/** Held shared while something is published, exclusively while something is collected. */
export const lockPath = (dir: string): string => join(dir, 'lock');
export const layersDir = (dir: string): string => join(dir, 'layers', 'sha256');
export const layerDir = (dir: string, diffId: DiffId): string => join(layersDir(dir), hexOf(diffId));
export const tarPath = (dir: string, diffId: DiffId): string => join(layerDir(dir, diffId), 'tar');
export const indexPath = (dir: string, diffId: DiffId): string => join(layerDir(dir, diffId), 'index.erofs');
export const recordPath = (dir: string, diffId: DiffId): string => join(layerDir(dir, diffId), 'record.json');
export const treesDir = (dir: string): string => join(dir, 'trees');
export const treeDir = (dir: string, diffId: DiffId): string => join(treesDir(dir), hexOf(diffId));
/** What is mounted. */
export const treeRoot = (dir: string, diffId: DiffId): string => join(treeDir(dir, diffId), 'root');
export const blobsDir = (dir: string): string => join(dir, 'blobs', 'sha256');
export const blobFile = (dir: string, digest: Digest): string => join(blobsDir(dir), hexOf(digest));
export const tagsDir = (dir: string): string => join(dir, 'tags');
/** Named by the hash of the reference: a reference may be longer than a file name. */
export const tagFile = (dir: string, reference: string): string =>
  join(tagsDir(dir), `${createHash('sha256').update(reference).digest('hex')}.json`);
export const reservePath = (dir: string): string => join(dir, 'reserve');
export const tmpDir = (dir: string): string => join(dir, 'tmp');
export const leaseDir = (dir: string, lease: string): string => join(tmpDir(dir), lease);
export const leaseLock = (dir: string, lease: string): string => join(tmpDir(dir), `${lease}.lock`);
/** What clients of `serve` are sending. @see serve/uploads.ts */
export const uploadsDir = (dir: string): string => join(dir, 'uploads');
/** Blobs whose bytes were found damaged. */
export const quarantineDir = (dir: string): string => join(dir, 'quarantine');
export const trashDir = (dir: string): string => join(dir, 'trash');
/** Directories behind cache mounts. @see cache-mounts.ts */
export const cacheMountsDir = (dir: string): string => join(dir, 'cache', 'mounts');
export const cacheMountDir = (dir: string, name: string): string => join(cacheMountsDir(dir), name);
/** What steps see. */
export const cacheMountRoot = (dir: string, name: string): string => join(cacheMountDir(dir, name), 'root');
export const cacheMountLock = (dir: string, name: string): string => join(cacheMountDir(dir, name), 'lock');
export const cacheMountRecord = (dir: string, name: string): string => join(cacheMountDir(dir, name), 'mount.json');
/** Held for a moment by whoever takes, lists or removes one of them. */
export const cacheMountsLock = (dir: string): string => join(cacheMountsDir(dir), 'lock');
/** Batches of objects on their way to the disk: `<id>.json` while under way, `<id>.done` afterwards. */
export const flushDir = (dir: string): string => join(dir, 'flush');

/** Lists of files that steps read, by cache key. */
export const inputsDir = (dir: string): string => join(dir, 'cache', 'inputs');

/** The directories of an empty store, parents first. */
export const storeDirs = (dir: string): string[] => [
  join(dir, 'layers'),
  layersDir(dir),
  treesDir(dir),
  join(dir, 'blobs'),
  blobsDir(dir),
  tagsDir(dir),
  tmpDir(dir),
  trashDir(dir),
  flushDir(dir),
  uploadsDir(dir),
];

function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
