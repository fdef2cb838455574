// A layer from outside → the store: decompressed, hashed and written in one pass, then indexed.
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../errors.js';
import { encodeTree } from '../format/index-encode.js';
import type { LayerTree } from '../format/layer-tree.js';
import { TarFollower } from '../format/tar-follow.js';
import type { Layer, Lease } from '../types.js';
import type { DiffId, Digest } from '../words.js';
import { chunkPool, decompress } from './decompress.js';
import { storeFault } from './faults.js';
import { type GrowthLimit, type GrowthOptions, openGrowthLimit } from './growth-limit.js';
import type { Store } from './handle.js';
import { findLayer, publishLayer, stageLayer } from './layer.js';
import { discard } from './trash.js';

export interface ImportOptions extends GrowthOptions {
  /** What the uncompressed tar must hash to. */
  readonly expectDiffId?: DiffId | undefined;
  /** What the bytes of the source must come to; remembered as a compressed form of the layer. */
  readonly blob?: { readonly digest: Digest; readonly size: number; readonly mediaType: string } | undefined;
}

/**
 * Stores a layer from its tar, compressed or not. Idempotent. Whatever is thrown, the store reads as before.
 *
 * @throws StoreError LAYER_DIFF_ID_MISMATCH, BLOB_DIGEST_MISMATCH, LAYER_COMPRESSION_DAMAGED, LAYER_TOO_LARGE, TAR_*, STORE_FULL
 */
export async function importLayer(
  store: Store,
  lease: Lease,
  source: AsyncIterable<Uint8Array>,
  options: ImportOptions = {},
): Promise<Layer> {
  store.requireWritable();
  const { expectDiffId, blob } = options;
  const known = expectDiffId === undefined ? null : findLayer(store, expectDiffId);
  if (known !== null) return known;

  const stage = stageLayer(store, lease);
  try {
    const { tar, tree } = await receiveTar(store, join(stage, 'tar'), source, options);
    return await publishLayer(store, stage, tar, {
      ...(tree !== null && { index: encodeTree(tree, tar.size) }),
      alongside: (diffId) => {
        if (blob !== undefined && blob.digest !== diffId) store.database.putCompression(diffId, blob);
      },
    });
  } catch (error) {
    await discard(store, stage);
    throw storeFault(error, store.dir);
  }
}

/** Writes the tar, checks that it is the one that was wanted, and reads its tree. */
async function receiveTar(
  store: Store,
  path: string,
  source: AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<{ readonly tar: WrittenTar; readonly tree: LayerTree | null }> {
  const { expectDiffId, blob } = options;
  const limit = openGrowthLimit(store.dir, store.options.maxLayerBytes, options);
  const file = await open(path, 'wx+', 0o600);
  try {
    const follower = new TarFollower(file.fd);
    const tar = await writeTar(file, new CountedSource(source, blob), limit, follower);
    if (blob !== undefined) checkBlob(tar.blob, blob);
    if (expectDiffId !== undefined && `sha256:${tar.sha256}` !== expectDiffId) {
      throw new StoreError('LAYER_DIFF_ID_MISMATCH', {
        message: `the layer's tar hashes to sha256:${tar.sha256}, its image's config says ${expectDiffId}`,
        hint: 'the image is damaged at its source',
      });
    }
    return { tar, tree: follower.finish(tar.size) };
  } finally {
    await file.close();
  }
}

interface WrittenTar {
  readonly sha256: string;
  readonly size: number;
  /** Of the bytes as they came. */
  readonly blob: { readonly digest: Digest; readonly size: number };
}

/**
 * While one chunk is decompressed on a worker thread, the one before is written on another and hashed here, and what was
 * written before is read into the tree.
 */
async function writeTar(
  file: FileHandle,
  source: CountedSource,
  limit: GrowthLimit,
  follower: TarFollower,
): Promise<WrittenTar> {
  const hash = createHash('sha256');
  let size = 0;
  const pool = chunkPool();
  let writing: Promise<unknown> = Promise.resolve();
  try {
    for await (const chunk of decompress(source.chunks(), pool)) {
      size += chunk.length;
      limit(size, source.size);
      await writing;
      writing = file.writeFile(chunk).then(() => pool.give(chunk));
      writing.catch(() => {}); // awaited before the next one
      hash.update(chunk);
      follower.advance(size - chunk.length);
    }
    await writing;
  } finally {
    await writing.catch(() => {});
  }
  return { sha256: hash.digest('hex'), size, blob: { digest: source.digest(), size: source.size } };
}

/** Counts and, where someone wants to know, hashes what passes. */
class CountedSource {
  size = 0;
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #hash: Hash | null;
  readonly #maxBytes: number;

  constructor(source: AsyncIterable<Uint8Array>, blob: ImportOptions['blob']) {
    this.#source = source;
    this.#hash = blob === undefined ? null : createHash('sha256');
    this.#maxBytes = blob?.size ?? Number.POSITIVE_INFINITY;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source) {
      this.size += chunk.length;
      // More than promised is wrong already: don't fill the disk with it.
      if (this.size > this.#maxBytes) throw wrongSize(this.size, this.#maxBytes);
      this.#hash?.update(chunk);
      yield chunk;
    }
  }

  digest(): Digest {
    return `sha256:${this.#hash?.digest('hex') ?? ''}`;
  }
}

function checkBlob(got: { digest: Digest; size: number }, want: { digest: Digest; size: number }): void {
  if (got.size !== want.size) throw wrongSize(got.size, want.size);
  if (got.digest === want.digest) return;
  throw new StoreError('BLOB_DIGEST_MISMATCH', {
    message: `the bytes of layer ${want.digest} hash to ${got.digest}`,
    hint: 'the transfer was altered, or its source is damaged',
  });
}

function wrongSize(got: number, want: number): StoreError {
  return new StoreError('BLOB_SIZE_MISMATCH', {
    message: `a layer of ${want} bytes was announced, ${got} or more came`,
    hint: 'the transfer was cut short or altered: try again',
  });
}
