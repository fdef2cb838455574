// meta.db from what lies beside it: layers by their record.json, blobs by their names, tags by tags/*.json, images by the
// manifests that tags reach. Cache records and leases have no copy; losing them costs time only.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type DiffId, type Digest, parseDiffId, parseDigest } from '../words.js';
import type { Database } from './database.js';
import { hasCode } from './faults.js';
import * as paths from './paths.js';

const hexName = /^[0-9a-f]{64}$/;

/** Fills an empty database. Every row is of an unknown boot: whoever opens the store next verifies it by its digest. */
export function rebuildDatabase(dir: string, database: Database): void {
  for (const name of readdirSync(paths.layersDir(dir)).filter((each) => hexName.test(each))) {
    const diffId = parseDiffId(`sha256:${name}`);
    const size = fileSize(paths.tarPath(dir, diffId));
    if (size !== null) database.putLayer({ diffId, size, indexSize: indexSizeOf(dir, diffId) });
  }
  for (const name of readdirSync(paths.blobsDir(dir)).filter((each) => hexName.test(each))) {
    const digest = parseDigest(`sha256:${name}`);
    database.putBlob({ digest, size: fileSize(paths.blobFile(dir, digest)) ?? 0 });
  }
  for (const name of readdirSync(paths.tagsDir(dir)).filter((each) => each.endsWith('.json'))) {
    const tag = readTagCopy(join(paths.tagsDir(dir), name));
    if (tag === null) continue;
    addImages(dir, database, tag.digest);
    database.putTag(tag.reference, tag.digest);
  }
  database.distrustAll();
}

/** An index that was dropped has a size all the same: it is made again when it is needed. */
function indexSizeOf(dir: string, diffId: DiffId): number | null {
  const size = fileSize(paths.indexPath(dir, diffId));
  const record = size === null ? readJson(paths.recordPath(dir, diffId)) : null;
  return typeof record?.indexSize === 'number' ? record.indexSize : size;
}

/** Rows for the image, or for all images of an index that are here. */
export function addImages(dir: string, database: Database, digest: Digest): void {
  if (database.image(digest) !== null) return;
  const document = readJson(paths.blobFile(dir, digest));
  for (const child of arrayOf(document?.manifests)) {
    const childDigest = digestOf(child);
    if (childDigest === null || childDigest === digest || isAttestation(child)) continue;
    if (!isPacked(dir, database, childDigest)) addImages(dir, database, childDigest);
  }
  const configDigest = digestOf(document?.config);
  if (configDigest === null) return;
  const rootfs = readJson(paths.blobFile(dir, configDigest))?.rootfs;
  const layers = arrayOf(isObject(rootfs) ? rootfs.diff_ids : null).filter(isDigest) as DiffId[];
  // What is no image (a chart, a signature) has a manifest too.
  if (isObject(rootfs) && layers.length === arrayOf(document?.layers).length)
    database.putImage({ digest, configDigest, layers });
}

/** An image of an index that is kept as the blobs it came as: it has no row until layers are made of them. */
function isPacked(dir: string, database: Database, digest: Digest): boolean {
  const manifest = readJson(paths.blobFile(dir, digest));
  const blobs = arrayOf(manifest?.layers).map(digestOf);
  const configDigest = digestOf(manifest?.config);
  const rootfs = configDigest === null ? null : readJson(paths.blobFile(dir, configDigest))?.rootfs;
  const layers = arrayOf(isObject(rootfs) ? rootfs.diff_ids : null).filter(isDigest) as DiffId[];
  const isHere = (blob: Digest | null): boolean => blob !== null && database.blob(blob) !== null;
  return layers.some((id) => database.layer(id) === null) && blobs.every(isHere);
}

/** What is attested about an image is no image. */
function isAttestation(entry: unknown): boolean {
  return isObject(entry) && isObject(entry.platform) && entry.platform.architecture === 'unknown';
}

export interface TagCopy {
  readonly reference: string;
  readonly digest: Digest;
}

/** What the copy of a tag says; null where it can't be read. */
export function readTagCopy(path: string): TagCopy | null {
  const value = readJson(path);
  if (value === null || typeof value.reference !== 'string' || !isDigest(value.digest)) return null;
  return { reference: value.reference, digest: value.digest };
}

function digestOf(value: unknown): Digest | null {
  return isObject(value) && isDigest(value.digest) ? value.digest : null;
}

function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value);
}

function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Null for what is missing or is no JSON object: then there is nothing to rebuild from it. */
function readJson(path: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
    return isObject(value) ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError || hasCode(error, 'EIO')) return null;
    throw error;
  }
}

function fileSize(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}
