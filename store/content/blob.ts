// Blobs: byte strings under their own digest. Configs, manifests, compressed layers.
import { createHash, type Hash } from 'node:crypto';
import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { readFailure } from '../damage.js';
import { StoreError } from '../errors.js';
import type { Lease } from '../types.js';
import type { DiffId, Digest } from '../words.js';
import { damagedObject } from './damaged.js';
import { hasCode, storeFault } from './faults.js';
import type { Store } from './handle.js';
import { whileLocked } from './lease.js';
import { neededBy } from './needed-by.js';
import { blobFile, tarPath } from './paths.js';
import { moveToQuarantine } from './quarantine.js';
import type { BlobRow, CompressionRow } from './schema.js';

/** Blobs that are read whole are documents; layers are read as files. */
const maxReadBytes = 64 << 20;

/**
 * Stores bytes under their digest. Idempotent; whatever happens, at worst a file in the lease's directory is left.
 *
 * @param expect what the bytes must come to
 * @throws StoreError BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH, STORE_FULL; then nothing was stored
 */
export async function putBlob(
  store: Store,
  lease: Lease,
  source: Uint8Array | AsyncIterable<Uint8Array>,
  expect: { readonly digest?: Digest; readonly size?: number } = {},
): Promise<BlobRow> {
  store.requireWritable();
  const temp = lease.path('blob');
  try {
    const written = await writeHashed(temp, source instanceof Uint8Array ? [source] : source, expect.size);
    checkExpected(written, expect);
    const { digest } = written;
    store.protect(digest);
    await whileLocked(store.dir, 'shared', () =>
      store.database.transaction(() => {
        if (store.database.blob(digest) !== null && existsSync(blobFile(store.dir, digest))) return;
        renameSync(temp, blobFile(store.dir, digest));
        store.database.putBlob(written);
      }),
    );
    return written;
  } catch (error) {
    throw storeFault(error, store.dir);
  } finally {
    await rm(temp, { force: true });
  }
}

/** Writes bytes to a file of the lease, for who can't or need not keep them. */
export async function writeBlob(
  lease: Lease,
  source: AsyncIterable<Uint8Array>,
): Promise<BlobRow & { readonly path: string }> {
  const path = lease.path('blob');
  return { ...(await writeHashed(path, source)), path };
}

/**
 * Makes the file at `path`, on the store's filesystem, a blob; its bytes were hashed by the caller. Where the store has these
 * bytes already, as a blob or as a layer's tar, the file goes.
 *
 * @param alongside writes further rows in the same transaction
 */
export async function adoptBlob(store: Store, path: string, blob: BlobRow, alongside: () => void): Promise<void> {
  store.requireWritable();
  const { digest } = blob;
  store.protect(digest);
  try {
    await whileLocked(store.dir, 'shared', () =>
      store.database.transaction(() => {
        const known = store.database.blob(digest) !== null && existsSync(blobFile(store.dir, digest));
        const diffId = digest as DiffId;
        const isLayer = store.database.layer(diffId) !== null && existsSync(tarPath(store.dir, diffId));
        if (!known && !isLayer) {
          renameSync(path, blobFile(store.dir, digest));
          store.database.putBlob(blob);
        }
        alongside();
      }),
    );
    await rm(path, { force: true });
  } catch (error) {
    throw storeFault(error, store.dir);
  }
}

/** Takes a blob away whose bytes are those of a layer's tar: the layer has them. */
export async function dropLayersBlob(store: Store, diffId: DiffId): Promise<void> {
  await whileLocked(store.dir, 'exclusive', () =>
    store.database.transaction(() => {
      if (store.database.layer(diffId) === null || !existsSync(tarPath(store.dir, diffId))) return;
      rmSync(blobFile(store.dir, diffId), { force: true });
      store.database.deleteBlob(diffId);
    }),
  );
}

/** The blob's row, if the store has it. The open leases of `store` hold it from now on. */
export function findBlob(store: Store, digest: Digest): BlobRow | null {
  store.protect(digest);
  const row = store.database.blob(digest);
  return row !== null && existsSync(blobFile(store.dir, digest)) ? row : null;
}

/** Where the bytes lie. Check `findBlob` first; whoever reads them verifies them. */
export function blobPath(store: Store, digest: Digest): string {
  return blobFile(store.dir, digest);
}

/**
 * The bytes of a document, verified.
 *
 * @throws StoreError BLOB_MISSING; BLOB_DAMAGED: wrong bytes were moved to quarantine/, so that the blob can be fetched again; BLOB_TOO_LARGE
 */
export async function readBlob(store: Store, digest: Digest): Promise<Buffer> {
  store.protect(digest);
  const path = blobFile(store.dir, digest);
  const bytes = await readDocument(path, digest).catch((error: unknown) => {
    throw storeFault(readFailure('blob', digest, error), path);
  });
  const actual = createHash('sha256').update(bytes).digest('hex');
  if (`sha256:${actual}` === digest) return bytes;
  throw putAside(store, digest, `its bytes hash to sha256:${actual}`);
}

/** Remembers that compressing a layer gave (or a registry holds it as) this blob. The blob itself may be elsewhere. */
export function recordCompression(store: Store, diffId: DiffId, compression: CompressionRow): void {
  store.requireWritable();
  store.database.putCompression(diffId, compression);
}

/** Known compressed forms of a layer. `findBlob` tells whether the store holds the bytes. */
export function findCompressions(store: Store, diffId: DiffId): CompressionRow[] {
  return store.database.compressions(diffId);
}

async function writeHashed(
  path: string,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<BlobRow> {
  const hash: Hash = createHash('sha256');
  let size = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > maxBytes) break; // more than promised is wrong already: don't fill the disk with it
      hash.update(chunk);
      await file.writeFile(chunk);
    }
  } finally {
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

function checkExpected(blob: BlobRow, expect: { readonly digest?: Digest; readonly size?: number }): void {
  if (expect.size !== undefined && blob.size !== expect.size) {
    throw new StoreError('BLOB_SIZE_MISMATCH', {
      message: `${expect.digest ?? 'blob'}: ${blob.size > expect.size ? 'more than' : `${blob.size} bytes instead of`} ${expect.size} bytes came`,
      hint: 'the transfer was cut short or altered: try again',
    });
  }
  if (expect.digest !== undefined && blob.digest !== expect.digest) {
    throw new StoreError('BLOB_DIGEST_MISMATCH', {
      message: `the bytes for ${expect.digest} hash to ${blob.digest}`,
      hint: 'the transfer was altered, or its source is damaged',
    });
  }
}

async function readDocument(path: string, digest: Digest): Promise<Buffer> {
  try {
    const { size } = statSync(path);
    if (size <= maxReadBytes) return await readFile(path);
    throw new StoreError('BLOB_TOO_LARGE', {
      message: `blob ${digest} has ${size} bytes: too large for a manifest or config`,
      hint: 'the image is damaged or not an image',
    });
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    throw new StoreError('BLOB_MISSING', {
      message: `the store has no blob ${digest}`,
      hint: 'pull or build the image again',
    });
  }
}

/** A damaged blob goes out of the way, so that it can be stored again. Returns what there is to say. */
export function putAside(store: Store, digest: Digest, reason: string): StoreError {
  const users = neededBy(store)(digest);
  if (!store.readOnly) {
    store.database.deleteBlob(digest);
    moveToQuarantine(store.dir, blobFile(store.dir, digest), { kind: 'blob', object: digest, reason, neededBy: users });
  }
  return damagedObject(store, 'blob', digest, reason, users);
}
