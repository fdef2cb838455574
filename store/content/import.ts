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
import type { Store } from './handle.js';
import { findLayer, publishLayer, stageLayer } from './layer.js';
import { discard } from './trash.js';

export interface ImportOptions {
  /** What the uncompressed tar must hash to. */
  readonly expectDiffId?: DiffId | undefined;
  /** What the bytes of the source must come to; remembered as a compressed form of the layer. */
  readonly blob?: { readonly digest: Digest; readonly size: number; readonly mediaType: string } | undefined;
  /** Tars larger than this are refused; 1 TiB by default. */
  readonly maxBytes?: number | undefined;
  /** From this size on a stream must not have grown more than honest ones do; 8 GiB by default. */
  readonly suspectBytes?: number | undefined;
}

const defaultMaxBytes = 2 ** 40;
const defaultSuspectBytes = 2 ** 33;
/** gzip can't exceed 1032:1. Other formats make more of zeros, which layers have some of, but not without end. */
const maxRatio = 1200;

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
    const { tar, tree } = await receiveTar(join(stage, 'tar'), source, options);
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
  path: string,
  source: AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<{ readonly tar: WrittenTar; readonly tree: LayerTree | null }> {
  const { expectDiffId, blob } = options;
  const file = await open(path, 'wx+', 0o600);
  try {
    const follower = new TarFollower(file.fd);
    const tar = await writeTar(file, source, options, follower);
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
  source: AsyncIterable<Uint8Array>,
  options: ImportOptions,
  follower: TarFollower,
): Promise<WrittenTar> {
  const { maxBytes = defaultMaxBytes, suspectBytes = defaultSuspectBytes } = options;
  const counted = new CountedSource(source, options.blob);
  const hash = createHash('sha256');
  let size = 0;
  const pool = chunkPool();
  let writing: Promise<unknown> = Promise.resolve();
  try {
    for await (const chunk of decompress(counted.chunks(), pool)) {
      size += chunk.length;
      if (size > maxBytes || (size > suspectBytes && size > counted.size * maxRatio))
        throw tooLarge(size, counted.size);
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
  return { sha256: hash.digest('hex'), size, blob: { digest: counted.digest(), size: counted.size } };
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

function tooLarge(size: number, compressed: number): StoreError {
  return new StoreError('LAYER_TOO_LARGE', {
    message: `a layer of ${compressed} compressed bytes unpacks to more than ${size}`,
    hint: 'it looks like a decompression bomb; get the image from a source you trust',
  });
}
